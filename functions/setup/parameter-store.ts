import {
  DeleteParameterCommand,
  GetParameterCommand,
  ParameterNotFound,
  PutParameterCommand,
  type SSMClient,
} from "@aws-sdk/client-ssm";
import { secretParameter } from "../config/secret-parameters.ts";
import { type SecretName, SecretNotKept, type SecretStore } from "./store.ts";

/**
 * SecureString parameters of a stage.
 *
 * @param chosen what the organization's file calls secrets, where it names them
 */
export function parameterStore(
  ssm: SSMClient,
  stage: string,
  slug: string,
  chosen: Partial<Record<SecretName, string>> = {},
): SecretStore {
  const references: Record<SecretName, string> = {
    webhook: "ssm:primary",
    apiKey: "ssm:clavex-api-key",
    appPassword: "ssm:nextcloud-app-password",
    clientSecret: "ssm:oidc-client-secret",
    ...chosen,
  };
  const parameter = (name: SecretName): string =>
    secretParameter(stage, slug, name === "webhook" ? "webhook" : "api", references[name]);
  const unlessMissing = (name: string) => (error: unknown) => {
    if (!(error instanceof ParameterNotFound)) throw refused(name, error);
    return undefined;
  };
  const refused = (name: string, error: unknown) =>
    new SecretNotKept(
      `the parameter ${name} cannot be used (${error instanceof Error ? error.name : "unknown error"})`,
      error,
    );
  return {
    scheme: "ssm",
    reference: (name) => references[name],
    place: (name) => `the SSM parameter ${parameter(name)}`,
    async read(name) {
      const Name = parameter(name);
      const found = await ssm.send(new GetParameterCommand({ Name, WithDecryption: true })).catch(unlessMissing(Name));
      return found?.Parameter?.Value;
    },
    async write(name, value) {
      const Name = parameter(name);
      const command = new PutParameterCommand({ Name, Value: value, Type: "SecureString", Overwrite: true });
      await ssm.send(command).catch((error) => {
        throw refused(Name, error);
      });
    },
    async remove(name) {
      const Name = parameter(name);
      await ssm.send(new DeleteParameterCommand({ Name })).catch(unlessMissing(Name));
    },
  };
}
