import type { Organization } from "../core/organization.ts";
import { SecretUnreadable } from "./errors.ts";

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
  return secretsIn((_organization, _kind, reference) => {
    const name = reference.slice("env:".length);
    return { place: `the environment variable ${name}`, read: async () => environment[name] };
  });
}
