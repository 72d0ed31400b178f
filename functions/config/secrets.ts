import { GetParameterCommand, ParameterNotFound, type SSMClient } from "@aws-sdk/client-ssm";
import { cached } from "../cached.ts";
import type { Failure } from "../failure.ts";
import { SecretUnreadable } from "./errors.ts";
import type { Organization } from "./organization.ts";
import { parametersUnavailable } from "./parameters.ts";

/** Reads the secrets that an organization's references name. */
export interface Secrets {
  /**
   * The organization's webhook secrets; those that can be read, when at least one can.
   *
   * @param notBefore they must have been read at this time or later (milliseconds since the epoch)
   * @throws {SecretUnreadable} when none can be read
   */
  webhook(organization: Organization, notBefore?: number): Promise<string[]>;
  /** The secret behind `clavex.apiKey` or `nextcloud.password`. */
  api(organization: Organization, reference: string): Promise<string>;
}

const SHORTEST_WEBHOOK_SECRET = 32;

type Read = (
  organization: Organization,
  kind: "webhook" | "api",
  reference: string,
  notBefore: number,
) => Promise<string>;

function secrets(read: Read): Secrets {
  return {
    async webhook(organization, notBefore = Number.NEGATIVE_INFINITY) {
      const results = await Promise.allSettled(
        organization.clavex.webhookSecrets.map(async (reference) => {
          const secret = await read(organization, "webhook", reference, notBefore);
          if (secret.length >= SHORTEST_WEBHOOK_SECRET) return secret;
          throw new SecretUnreadable(reference, reference, `it is shorter than ${SHORTEST_WEBHOOK_SECRET} characters`);
        }),
      );
      const readable = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      if (readable.length > 0) return readable;
      throw results.find((result) => result.status === "rejected")?.reason;
    },
    api: (organization, reference) => read(organization, "api", reference, Number.NEGATIVE_INFINITY),
  };
}

/** Secrets in environment variables, for one machine: `env:NAME`. */
export function environmentSecrets(environment: Record<string, string | undefined>): Secrets {
  return secrets(async (_organization, _kind, reference) => {
    const name = reference.slice("env:".length);
    const value = environment[name];
    if (value) return value;
    throw new SecretUnreadable(reference, `the environment variable ${name}`, "it is not set");
  });
}

const FRESH_MS = 5 * 60_000;

/**
 * The SSM parameter of a secret. The reference is relative to the stage, the organization and the kind, so that no
 * organization can name another's secret and each function can be allowed just its kind.
 */
export function secretParameter(stage: string, slug: string, kind: "webhook" | "api", reference: string): string {
  return `/clavex-nextcloud/${stage}/secrets/${slug}/${kind}/${reference.slice("ssm:".length)}`;
}

/**
 * Secrets in SSM SecureString parameters, kept for five minutes. While SSM does not answer, the last value stays in use; a
 * parameter that was deleted does not.
 */
export function parameterSecrets(ssm: SSMClient, stage: string, now: () => number = Date.now): Secrets {
  const readings = new Map<string, (notBefore: number) => Promise<string>>();

  const reading = (name: string, reference: string): ((notBefore: number) => Promise<string>) => {
    let last: string | undefined;
    const read = cached(async () => {
      try {
        const { Parameter } = await ssm.send(new GetParameterCommand({ Name: name, WithDecryption: true }));
        last = Parameter?.Value;
        if (!last) throw new SecretUnreadable(reference, `SSM parameter ${name}`, "it is empty");
        return last;
      } catch (error) {
        const failure = unreadable(name, reference, error);
        if (failure.failureClass === "transient" && last !== undefined) return last;
        last = undefined;
        throw failure;
      }
    }, now);
    return async (notBefore) => (await read(notBefore)).value;
  };

  return secrets((organization, kind, reference, notBefore) => {
    const name = secretParameter(stage, organization.slug, kind, reference);
    let read = readings.get(name);
    if (!read) {
      read = reading(name, reference);
      readings.set(name, read);
    }
    return read(Math.max(notBefore, now() - FRESH_MS));
  });
}

function unreadable(name: string, reference: string, error: unknown): Failure {
  if (error instanceof SecretUnreadable) return error;
  if (error instanceof ParameterNotFound)
    return new SecretUnreadable(reference, `SSM parameter ${name}`, "there is none", error);
  return parametersUnavailable(name, error);
}
