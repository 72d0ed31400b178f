import { Failure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { SecretUnreadable } from "./errors.ts";

/** Reads the secrets that an organization's references name. */
export interface Secrets {
  /**
   * The organization's webhook secrets; those that can be read, when at least one can. None where none is configured.
   *
   * @param notBefore they must have been read at this time or later (milliseconds since the epoch)
   * @throws {SecretUnreadable} when none can be read
   */
  webhook(organization: Organization, notBefore?: number): Promise<string[]>;
  /** The secret behind `clavex.apiKey` or `nextcloud.password`. */
  api(organization: Organization, reference: string): Promise<string>;
}

const SHORTEST_WEBHOOK_SECRET = 32;

/** Where the value of a reference is kept and how it gets there, for messages, and the value. */
interface Kept {
  place: string;
  fix?: string;
  read(notBefore: number): Promise<string | undefined>;
}

/** Finds the place of a reference. */
export type Place = (organization: Organization, kind: "webhook" | "api", reference: string) => Kept;

/** Secrets of a place: trimmed, and refused when they cannot be secrets. */
export function secretsIn(placeOf: Place): Secrets {
  const read = async (
    organization: Organization,
    kind: "webhook" | "api",
    reference: string,
    notBefore: number,
  ): Promise<string> => {
    const kept = placeOf(organization, kind, reference);
    // A line end comes from writing the secret from a file or by echo, and is never part of it.
    const secret = (await kept.read(notBefore))?.trim();
    if (!secret) throw new SecretUnreadable(reference, kept, secret === undefined ? "it is not set" : "it is empty");
    if (!/^[\x20-\x7e]+$/.test(secret))
      throw new SecretUnreadable(reference, kept, "it has characters that no secret has");
    if (kind === "webhook" && secret.length < SHORTEST_WEBHOOK_SECRET) {
      throw new SecretUnreadable(reference, kept, `it is shorter than ${SHORTEST_WEBHOOK_SECRET} characters`);
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
      if (readable.length > 0 || webhookSecrets.length === 0) return readable;
      throw results.find((result) => result.status === "rejected")?.reason;
    },
    api: (organization, reference) => read(organization, "api", reference, Number.NEGATIVE_INFINITY),
  };
}

/** Environment variables: the values, or a function that returns the current ones. */
type Environment = Record<string, string | undefined> | (() => Record<string, string | undefined>);

/** Secrets in environment variables, for one machine: `env:NAME`. */
export function environmentSecrets(environment: Environment): Secrets {
  const now = typeof environment === "function" ? environment : () => environment;
  return secretsIn((_organization, _kind, reference) => {
    const name = reference.slice("env:".length);
    return {
      place: `the environment variable ${name}`,
      fix: `Write ${name}=... into .env or the environment of the process, or let npx clavex-nextcloud setup do it.`,
      read: async () => now()[name],
    };
  });
}

/** The settings of an organization whose secret cannot be read, each with the reason. */
export async function unreadableSecrets(organization: Organization, secrets: Secrets): Promise<Map<string, Failure>> {
  const { clavex, nextcloud } = organization;
  const settings: [string, () => Promise<unknown>][] = [
    ["clavex.webhookSecrets", () => secrets.webhook(organization)],
    ["nextcloud.password", () => secrets.api(organization, nextcloud.password)],
  ];
  const { apiKey } = clavex;
  if (apiKey !== undefined) settings.push(["clavex.apiKey", () => secrets.api(organization, apiKey)]);
  const failures = new Map<string, Failure>();
  for (const [setting, read] of settings) {
    await read().catch((error) => {
      if (!(error instanceof Failure)) throw error;
      failures.set(setting, error);
    });
  }
  return failures;
}
