import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigurationError } from "../core/failure.ts";
import { parseOrganization } from "../core/organization.ts";
import { makeFolder } from "../folders.ts";
import type { OidcProvider } from "../nextcloud/providers.ts";
import { type AccountIds, NO_WEBHOOK, type SetupContext } from "./context.ts";
import { findProvider } from "./nextcloud-steps.ts";
import { byHand, done, type Step, toDo } from "./step.ts";

/** The organization's file. An existing one is never overwritten: it may hold decisions that setup knows nothing about. */
export function organizationStep(context: SetupContext): Step {
  const { answers, store, record, organizationFile: path } = context;

  return {
    title: "Organization file",
    async inspect() {
      if (path === undefined) return done("the demo keeps it in memory");
      const existing = await readIfThere(path);
      if (existing === undefined) return toDo(`write ${path}`);
      const { organization, problems } = parseOrganization({ source: path, text: existing }, store.scheme);
      if (problems) return byHand("The file is there, but not right:", ...problems);
      const { identity } = organization;
      const provider = identity.scheme === "sociallogin" ? undefined : await findProvider(context);
      const differences = [
        ...(organization.clavex.baseUrl === answers.clavexUrl ? [] : [`clavex.baseUrl is not ${answers.clavexUrl}`]),
        ...(organization.nextcloud.baseUrl === answers.nextcloudUrl
          ? []
          : [`nextcloud.baseUrl is not ${answers.nextcloudUrl}`]),
        ...(identity.scheme !== "user_oidc" || !provider || identity.providerId === provider.id
          ? []
          : [`identity.providerId is not ${provider.id}`]),
      ];
      return differences.length === 0 ? done(path) : byHand(`${path}:`, ...differences);
    },

    async apply() {
      if (path === undefined) return [];
      const identity = await identityOf(context);
      if (identity === undefined) {
        return ["The file is written when the provider's id is known: run setup again with --provider-id ID."];
      }
      const document = {
        slug: answers.slug,
        organizationId: answers.organizationId,
        clavex: {
          baseUrl: answers.clavexUrl,
          webhookSecrets: answers.webhookUrl === NO_WEBHOOK ? [] : [store.reference("webhook")],
          apiKey: store.reference("apiKey"),
        },
        nextcloud: {
          baseUrl: answers.nextcloudUrl,
          username: answers.username,
          password: store.reference("appPassword"),
          ...(context.passing.skeleton === undefined ? {} : { skeleton: context.passing.skeleton }),
        },
        identity,
        ...(answers.erased === undefined ? {} : { deprovision: { erased: answers.erased } }),
      };
      const text = `${JSON.stringify(document, undefined, 2)}\n`;
      const { problems } = parseOrganization({ source: path, text }, store.scheme);
      if (problems)
        throw new ConfigurationError("organization-invalid", problems, { fix: "Run setup again with other answers." });
      makeFolder(dirname(path));
      await writeFile(path, text);
      await record.write({ organizationFile: true });
      return [];
    },

    async undo() {
      if (path === undefined || !(await record.read()).organizationFile) return undefined;
      await rm(path, { force: true });
      await record.write({ organizationFile: undefined });
      return `${path} deleted`;
    },
  };
}

/** The provider's settings as `identity`; where Nextcloud does not show them, those of the line for occ. */
async function identityOf(context: SetupContext): Promise<Record<string, unknown> | undefined> {
  const { providerName } = context.answers;
  if (providerName !== undefined) return { scheme: "sociallogin", providerName };
  const provider = await findProvider(context);
  const id = provider?.id ?? context.answers.providerId;
  if (id === undefined) return undefined;
  const ids = provider ? idsOf(provider) : (context.answers.accountIds ?? { uniqueUserIds: true });
  return { scheme: "user_oidc", providerId: id, ...ids };
}

function idsOf({ identifier, settings }: OidcProvider): AccountIds {
  return !settings.uniqueUid && settings.providerBasedId
    ? { uniqueUserIds: false, providerBasedIds: true, providerIdentifier: identifier }
    : { uniqueUserIds: settings.uniqueUid };
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}
