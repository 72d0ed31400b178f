import { readFile } from "node:fs/promises";
import { parseEnvironmentFile } from "../config/environment.ts";
import { PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { writeOwnFile } from "../folders.ts";

/** The secrets that setup handles. The last one is stored only until a person has entered it in Nextcloud. */
export type SecretName = "webhook" | "apiKey" | "appPassword" | "clientSecret";

/** Where secrets are stored. They are never printed. */
export interface SecretStore {
  /** Whether `env:` or `ssm:` references can be read there. */
  scheme: "env" | "ssm";
  /** What the organization's file calls the secret. */
  reference(name: SecretName): string;
  /** Where a person finds it. */
  place(name: SecretName): string;
  read(name: SecretName): Promise<string | undefined>;
  write(name: SecretName, value: string): Promise<void>;
  remove(name: SecretName): Promise<void>;
}

/** What an organization's file calls the secrets that it names. */
export function referencesOf({ clavex, nextcloud }: Organization): Partial<Record<SecretName, string>> {
  const [webhook] = clavex.webhookSecrets;
  return {
    appPassword: nextcloud.password,
    ...(webhook === undefined ? {} : { webhook }),
    ...(clavex.apiKey === undefined ? {} : { apiKey: clavex.apiKey }),
  };
}

/**
 * A file `.env`, readable by its owner only. Existing environment variables win, as they do when the pipeline reads it.
 *
 * @param chosen what the organization's file calls secrets, where it names them
 */
export function environmentStore(
  path: string,
  slug: string,
  environment: Record<string, string | undefined>,
  chosen: Partial<Record<SecretName, string>> = {},
): SecretStore {
  const prefix = slug.toUpperCase().replaceAll("-", "_");
  const references: Record<SecretName, string> = {
    webhook: `env:${prefix}_WEBHOOK_SECRET`,
    apiKey: `env:${prefix}_CLAVEX_API_KEY`,
    appPassword: `env:${prefix}_NEXTCLOUD_APP_PASSWORD`,
    clientSecret: `env:${prefix}_OIDC_CLIENT_SECRET`,
    ...chosen,
  };
  const variable = (name: SecretName): string => references[name].slice("env:".length);

  const text = (): Promise<string> =>
    readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "";
      throw error;
    });
  const linesWithout = async (name: string): Promise<string[]> => {
    const content = (await text()).replace(/\n$/, "");
    return content === "" ? [] : content.split("\n").filter((line) => !line.startsWith(`${name}=`));
  };
  const save = (lines: string[]): Promise<void> => writeOwnFile(path, lines.map((line) => `${line}\n`).join(""));

  return {
    scheme: "env",
    reference: (name) => references[name],
    place: (name) => `${variable(name)} in ${path}`,
    read: async (name) =>
      environment[variable(name)] || parseEnvironmentFile(await text())[variable(name)] || undefined,
    write: async (name, value) => save([...(await linesWithout(variable(name))), `${variable(name)}=${quoted(value)}`]),
    remove: async (name) => save(await linesWithout(variable(name))),
  };
}

/** Quotes a value so that it is read back unchanged: a `#` would start a comment, and outer spaces would be lost. */
function quoted(value: string): string {
  if (/^[\w.:/+=@-]*$/.test(value)) return value;
  const quote = ["'", '"', "`"].find((each) => !value.includes(each));
  if (quote === undefined || value.includes("\n")) throw new SecretNotKept("a .env file cannot hold this secret");
  return `${quote}${value}${quote}`;
}

/** A secret could not be stored where its reference says. */
export class SecretNotKept extends PipelineFailure {
  constructor(message: string, cause?: unknown) {
    super("configuration", "secret-not-kept", message, "organization", {
      fix: "Make sure that it can be written there, and run setup again: it goes on where it stopped.",
      cause,
    });
  }
}

/** The demo's secrets are fixed: they can be read but not changed. */
export function fixedStore(values: Partial<Record<SecretName, string>>): SecretStore {
  return {
    scheme: "env",
    reference: (name) => `env:${name}`,
    place: () => "the demo",
    read: async (name) => values[name],
    async write(name, value) {
      if (values[name] !== undefined && values[name] !== value) throw new Error(`the demo's ${name} is fixed`);
    },
    remove: async () => undefined,
  };
}
