import { GetParameterCommand, ParameterNotFound, type SSMClient } from "@aws-sdk/client-ssm";
import { SecretUnreadable } from "./errors.ts";
import { parametersUnavailable } from "./parameters.ts";
import { type Secrets, secretsIn } from "./secrets.ts";
import { staleOnError } from "./stale-on-error.ts";

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
          ? new SecretUnreadable(reference, { place: `SSM parameter ${name}` }, "it does not exist", error)
          : parametersUnavailable(name, error);
      }
    }, now);
    parameters.set(name, read);
    return read;
  };

  return secretsIn((organization, kind, reference) => {
    const name = secretParameter(stage, organization.slug, kind, reference);
    return {
      place: `SSM parameter ${name}`,
      read: (notBefore) => parameter(name, reference)(Math.max(notBefore, now() - FRESH_MS)),
    };
  });
}
