import { GetParameterCommand, ParameterNotFound, type SSMClient } from "@aws-sdk/client-ssm";
import type { Organization } from "../core/organization.ts";
import { SecretUnreadable } from "./errors.ts";
import { parametersUnavailable } from "./parameters.ts";
import { staleOnError } from "./stale-on-error.ts";

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

/** Where the value of a reference is kept, for messages, and the value. */
interface Kept {
  place: string;
  read(notBefore: number): Promise<string | undefined>;
}

/** Finds the place of a reference. */
type Place = (organization: Organization, kind: "webhook" | "api", reference: string) => Kept;

function secrets(placeOf: Place): Secrets {
  const read = async (
    organization: Organization,
    kind: "webhook" | "api",
    reference: string,
    notBefore: number,
  ): Promise<string> => {
    const kept = placeOf(organization, kind, reference);
    // A line end comes with a secret that was written from a file or by echo, and is never a part of it.
    const secret = (await kept.read(notBefore))?.trim();
    if (!secret)
      throw new SecretUnreadable(reference, kept.place, secret === undefined ? "there is none" : "it is empty");
    if (!/^[\x20-\x7e]+$/.test(secret))
      throw new SecretUnreadable(reference, kept.place, "it has characters that no secret has");
    if (kind === "webhook" && secret.length < SHORTEST_WEBHOOK_SECRET) {
      throw new SecretUnreadable(reference, kept.place, `it is shorter than ${SHORTEST_WEBHOOK_SECRET} characters`);
    }
    return secret;
  };
  return {
    async webhook(organization, notBefore = Number.NEGATIVE_INFINITY) {
      const { webhookSecrets } = organization.clavex;
      const results = await Promise.allSettled(
        webhookSecrets.map((reference) => read(organization, "webhook", reference, notBefore)),
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
  return secrets((_organization, _kind, reference) => {
    const name = reference.slice("env:".length);
    return { place: `the environment variable ${name}`, read: async () => environment[name] };
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
 * Secrets in SSM SecureString parameters, kept for five minutes. While SSM does not answer, the last
 * value stays in use; a parameter that was deleted does not.
 */
export function parameterSecrets(ssm: SSMClient, stage: string, now: () => number = Date.now): Secrets {
  const parameters = new Map<string, (notBefore: number) => Promise<string>>();

  const parameter = (name: string, reference: string) => {
    const known = parameters.get(name);
    if (known) return known;
    const read = staleOnError(async () => {
      try {
        const { Parameter } = await ssm.send(new GetParameterCommand({ Name: name, WithDecryption: true }));
        return Parameter?.Value ?? "";
      } catch (error) {
        throw error instanceof ParameterNotFound
          ? new SecretUnreadable(reference, `SSM parameter ${name}`, "there is none", error)
          : parametersUnavailable(name, error);
      }
    }, now);
    parameters.set(name, read);
    return read;
  };

  return secrets((organization, kind, reference) => {
    const name = secretParameter(stage, organization.slug, kind, reference);
    return {
      place: `SSM parameter ${name}`,
      read: (notBefore) => parameter(name, reference)(Math.max(notBefore, now() - FRESH_MS)),
    };
  });
}
