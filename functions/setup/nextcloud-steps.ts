import { discoveryUrl } from "../clavex/discovery.ts";
import type { OidcClient } from "../clavex/management-api.ts";
import { Failure } from "../core/failure.ts";
import { hasFailures } from "../doctor/check.ts";
import {
  configuredProviders,
  createProvider,
  deleteAppConfig,
  deleteProvider,
  listProviders,
  type OidcProvider,
  type ProviderChange,
  readAppConfig,
  updateProvider,
  writeAppConfig,
} from "../nextcloud/providers.ts";
import { readAppVersion, readOwnAccount, refusalOfWrites } from "../nextcloud/server.ts";
import { createServiceAccount, EMPTY_SKELETON, measureSkeleton } from "../nextcloud/throwaway.ts";
import { SCOPES } from "../nextcloud/user-oidc.ts";
import { forgetSecret, keepSecret, type SetupContext } from "./context.ts";
import { byHand, done, type Inspection, type Step, toDo } from "./step.ts";

/** The name of the provider that setup creates. */
const IDENTIFIER = "clavex";

/**
 * The credentials: tried once, then stored. They must be an administrator's, and core must take writes with them. Where it takes
 * none, which is so for ordinary administrators' app passwords from Nextcloud 34 on, a service account that belongs to
 * user_oidc is made, and two lines for occ are left to a person.
 */
export function credentialsStep(context: SetupContext): Step {
  const { ocs, store, answers, record } = context;
  const takesWrites = async (id: string): Promise<boolean> => (await refusalOfWrites(ocs, id)) === undefined;

  return {
    title: "Nextcloud: credentials",
    first: true,
    settles: true,
    async inspect() {
      const { id, groups } = await readOwnAccount(ocs);
      if (!groups.includes("admin")) {
        return byHand(`${id} is no administrator: occ group:adduser admin ${id}`, "Then run setup again.");
      }
      if (!(await takesWrites(id))) {
        const { serviceAccount } = await record.read();
        if (serviceAccount !== undefined) return byHand(...serviceAccountLines(serviceAccount));
        if ((await readAppVersion(ocs, "user_oidc")) === undefined) {
          return byHand("user_oidc is not enabled: occ app:install user_oidc (or: occ app:enable user_oidc)", AGAIN);
        }
        return toDo(
          `core takes no writes with the app password of ${id}: create a service account that belongs to user_oidc`,
        );
      }
      if (await isKept()) return done(`of ${answers.username}, kept in ${store.place("appPassword")}`);
      return toDo(`keep them in ${store.place("appPassword")}`);
    },
    async apply() {
      if (!(await takesWrites((await readOwnAccount(ocs)).id))) {
        const id = await createServiceAccount(ocs, answers.providerId ?? FIRST_PROVIDER);
        await record.write({ serviceAccount: id });
        return serviceAccountLines(id);
      }
      await keepSecret(context, "appPassword", context.givenAppPassword ?? "");
      return [];
    },
    async undo() {
      const { secrets = [], serviceAccount } = await record.read();
      const undone: string[] = [];
      if (secrets.includes("appPassword")) {
        await forgetSecret(context, "appPassword");
        undone.push(`removed from ${store.place("appPassword")}; revoke it in Nextcloud`);
      }
      if (serviceAccount !== undefined) {
        // Nobody can delete the account that they act as.
        undone.push(`the service account stays: occ user:delete ${serviceAccount}`);
        await record.write({ serviceAccount: undefined });
      }
      return undone.length === 0 ? undefined : undone.join("; ");
    },
  };

  async function isKept(): Promise<boolean> {
    const kept = await store.read("appPassword");
    return kept !== undefined && (context.givenAppPassword === undefined || kept === context.givenAppPassword);
  }
}

const AGAIN = "Then run setup again.";
/** Where nothing is known of the providers yet: the subject is one that none of them issues. */
const FIRST_PROVIDER = 1;

function serviceAccountLines(id: string): string[] {
  return [
    "The service account is there. On the Nextcloud server:",
    `  occ group:adduser admin ${id}`,
    `  occ user:add-app-password ${id}   # asks for a password: leave it empty; prints the app password`,
    `Then run setup again with --username ${id} and that app password.`,
  ];
}

/** Whether new accounts get files is measured once, for `nextcloud.skeleton` in the organization's file. */
export function skeletonStep(context: SetupContext): Step {
  const { ocs, answers, configured, passing, record, skeletons } = context;
  const providerId = async (): Promise<number | undefined> =>
    (await findProvider(context))?.id ?? context.answers.providerId;
  return {
    title: "Nextcloud: skeleton",
    async inspect() {
      const known = passing.skeleton ?? configured?.nextcloud.skeleton ?? (await record.read()).skeleton;
      if (known === "empty" && (await skeletons?.get(answers.nextcloudUrl))?.empty === false) {
        return toDo("measure it again: it was empty once, and then an account was seen to have files");
      }
      if (known !== undefined) return done(known === "empty" ? "empty" : `not empty. ${TO_EMPTY}`);
      return toDo("measure it with a throwaway account, which is deleted again");
    },
    async apply() {
      const id = await providerId();
      if (id === undefined)
        return ["It is measured when the provider's id is known: run setup again with --provider-id ID."];
      const empty = (await measureSkeleton(ocs, id)) === 0;
      passing.skeleton = empty ? "empty" : "default";
      await skeletons?.put(answers.nextcloudUrl, { empty, at: Date.now() });
      await record.write({ skeleton: passing.skeleton });
      return passing.skeleton === "empty" ? [] : ["New accounts get files.", TO_EMPTY];
    },
    async undo() {
      await record.write({ skeleton: undefined });
      return undefined;
    },
  };
}

const TO_EMPTY = `Better without: ${EMPTY_SKELETON} (nothing is copied over people's files, accounts are created five times faster), then "skeleton": "empty" in the organization's file, and doctor --write-checks`;

/** The provider that people log in with: by its id, or the one that points at this organization. */
export async function findProvider({ ocs, answers, configured }: SetupContext): Promise<OidcProvider | undefined> {
  const providers = (await listProviders(ocs)) ?? [];
  const id =
    answers.providerId ?? (configured?.identity.scheme === "user_oidc" ? configured.identity.providerId : undefined);
  return id === undefined
    ? providers.find((each) => each.discoveryEndpoint === discoveryUrl(answers.clavexUrl, answers.slug))
    : providers.find((each) => each.id === id);
}

/** user_oidc's provider, over its OCS routes where they exist, else the exact line for occ. */
export function providerStep(context: SetupContext, client: () => Promise<OidcClient | undefined>): Step {
  const { ocs, record, answers, management } = context;
  const discoveryEndpoint = discoveryUrl(answers.clavexUrl, answers.slug);

  async function make(change: ProviderChange): Promise<number> {
    const id = await createProvider(ocs, { ...change, clientSecret: context.passing.clientSecret ?? "to-be-replaced" });
    context.passing.providerId = id;
    await record.write({ provider: id });
    return id;
  }

  return {
    title: "Nextcloud: login provider",
    settles: true,
    async inspect() {
      if ((await readAppVersion(ocs, "user_oidc")) === undefined) {
        return byHand(
          "user_oidc is not enabled: occ app:install user_oidc (or: occ app:enable user_oidc)",
          "Then run setup again.",
        );
      }
      const found = await client();
      if ((await listProviders(ocs)) === undefined) return inspectWithoutApi(context, found);
      const provider = await findProvider(context);
      if (!provider) {
        if (answers.providerId !== undefined) return byHand(`Nextcloud has no provider ${answers.providerId}.`);
        if (!management) return byHand("Make it as docs/connect.md says.");
        return toDo(`create one for ${discoveryEndpoint}${rotation(context, found)}`);
      }
      const wrong = differences(provider, { discoveryEndpoint, clientId: found?.client_id });
      if (wrong.length === 0 && (found || !management)) return done(`${provider.id} (${provider.identifier})`);
      const changed = [...new Set([...wrong, ...(found ? [] : ["client"])])].join(", ");
      const renewed = provider.clientId === found?.client_id ? "" : rotation(context, found);
      return toDo(`set ${changed} of ${provider.id} (${provider.identifier})${renewed}`);
    },

    async apply() {
      const found = await client();
      if (!found) return ["There is no client yet: run setup again."];
      const known = await listProviders(ocs);
      if (known === undefined) {
        await keepSecret(context, "clientSecret", await secretOf(context, found));
        return occLines(context, found.client_id);
      }
      const provider = await findProvider(context);
      const change: ProviderChange = {
        identifier: provider?.identifier ?? freeIdentifier(known, answers.slug),
        clientId: found.client_id,
        discoveryEndpoint,
        scope: SCOPES.join(" "),
        settings: provider ? { mappingAvatar: "picture" } : NEW_PROVIDER,
      };
      try {
        const id = provider?.id ?? (await make(change));
        if (provider) await updateProvider(ocs, id, change);
        // Last, when Nextcloud has taken everything else: a secret that is replaced is lost to whoever has the old one.
        if (provider?.clientId !== found.client_id) {
          await updateProvider(ocs, id, { ...change, clientSecret: await secretOf(context, found) });
        }
        return [];
      } catch (error) {
        if (error instanceof Failure && error.code === UNREADABLE_DISCOVERY)
          return unreadable(error, discoveryEndpoint);
        throw error;
      }
    },

    async undo() {
      const { provider } = await record.read();
      await forgetSecret(context, "clientSecret");
      if (provider === undefined) return undefined;
      await deleteProvider(ocs, provider);
      await record.write({ provider: undefined });
      return `${provider} deleted`;
    },
  };
}

/** Nextcloud refuses a provider whose discovery document it cannot read (docs/facts/nextcloud.md 8). */
const UNREADABLE_DISCOVERY = "nextcloud-ocs-400";

function unreadable({ message }: Failure, discoveryEndpoint: string): string[] {
  return [
    `${message}.`,
    `Nextcloud itself reads Clavex's discovery document. On the Nextcloud server this has to answer: curl ${discoveryEndpoint}`,
    "If Clavex has a private address: occ config:system:set allow_local_remote_servers --type=boolean --value=true",
    AGAIN,
  ];
}

/** The provider of sociallogin, which nothing but a person can make or see. */
export function socialLoginStep(name: string): Step {
  return {
    title: "Nextcloud: login provider of sociallogin",
    inspect: async () =>
      byHand(
        `See that Settings, Social login has a custom OpenID Connect provider ${name}, and Clavex a client for it: docs/connect.md#without-user_oidc-sociallogin`,
      ),
    apply: async () => [],
    undo: async () => undefined,
  };
}

/** For user_oidc without routes: the provider is known by its id, or a person makes it with the line for occ. */
async function inspectWithoutApi(context: SetupContext, found: OidcClient | undefined): Promise<Inspection> {
  const { ocs, store, answers, management, configured, passing } = context;
  if (answers.providerId !== undefined) return done(`${answers.providerId}, as given`);
  if (configured?.identity.scheme === "user_oidc") return done(`${configured.identity.providerId}, as configured`);
  if (!management || (await store.read("clientSecret")) !== undefined) {
    return byHand(...occLines(context, found?.client_id));
  }
  const before = found && passing.clientSecret === undefined ? await configuredProviders(ocs) : [];
  if (before.length > 0) {
    return byHand(
      `Nextcloud has the provider ${before.join(", ")} already (occ user_oidc:provider shows more). Is it Clavex's? Then run setup again with --provider-id ${before[0]}.`,
      `If it is not, create one with a new secret for the client ${found?.client_id} (docs/connect.md#provider): whatever logs in with the old one stops working.`,
    );
  }
  return toDo(
    `this user_oidc has no API for providers: keep the client's secret for the line with occ${rotation(context, found)}`,
  );
}

/** What the plan says where a client's secret has to be replaced: it was shown once, at registration. */
function rotation({ passing, management }: SetupContext, found: OidcClient | undefined): string {
  if (!management || !found || passing.clientSecret !== undefined) return "";
  return `, with a new secret for the client ${found.client_id}: whatever else logs in with the old one stops working`;
}

/** The name of a new provider; two organizations on one Nextcloud have different ones. */
function freeIdentifier(known: readonly OidcProvider[], slug: string): string {
  return known.some(({ identifier }) => identifier === IDENTIFIER) ? `${IDENTIFIER}-${slug}` : IDENTIFIER;
}

/** What is out of date. Settings that decide ids are never changed on an existing provider. */
function differences(
  provider: OidcProvider,
  { discoveryEndpoint, clientId }: { discoveryEndpoint: string; clientId: string | undefined },
): string[] {
  return [
    ...(provider.discoveryEndpoint === discoveryEndpoint ? [] : ["discovery address"]),
    ...(clientId === undefined || provider.clientId === clientId ? [] : ["client"]),
    ...(SCOPES.every((scope) => (provider.scope ?? "").split(/\s+/).includes(scope)) ? [] : ["scope"]),
    ...(provider.settings.mappingAvatar === "picture" ? [] : ["avatar mapping"]),
  ];
}

/** For user_oidc without routes: the exact options; the secret stays off the screen and out of the shell history. */
function occLines({ store, answers }: SetupContext, clientId: string | undefined): string[] {
  const options = [
    `--clientid=${clientId ?? "CLIENT_ID"}`,
    '--clientsecret="$SECRET"',
    `--discoveryuri=${discoveryUrl(answers.clavexUrl, answers.slug)}`,
    `--scope="${SCOPES.join(" ")}"`,
    "--mapping-uid=sub --mapping-display-name=name --mapping-email=email --mapping-groups=groups",
    "--mapping-avatar=picture --unique-uid=1 --group-provisioning=0",
  ];
  return [
    "This user_oidc has no API for providers (it comes with 8.5). On the Nextcloud server:",
    `  read -rs SECRET   # paste the client's secret: ${store.place("clientSecret")}`,
    `  occ user_oidc:provider ${IDENTIFIER} ${options.join(" ")}`,
    "  occ user_oidc:provider   # shows its id",
    "Then run setup again with --provider-id ID, and remove the client's secret from where it was kept.",
  ];
}

/** The secret that was shown at registration; later it can only be replaced. */
async function secretOf({ passing, management }: SetupContext, found: OidcClient): Promise<string> {
  if (passing.clientSecret !== undefined) return passing.clientSecret;
  if (!management) throw new Error("a client was found without an administrator's token");
  return management.rotateClientSecret(found.client_id);
}

/** The settings of a new provider: hashed ids, which cannot collide with others; groups are left to the pipeline. */
const NEW_PROVIDER: ProviderChange["settings"] = {
  uniqueUid: true,
  providerBasedId: false,
  groupProvisioning: false,
  mappingUid: "sub",
  mappingDisplayName: "name",
  mappingEmail: "email",
  mappingGroups: "groups",
  mappingAvatar: "picture",
};

const BACKENDS = ["user_oidc", "allow_multiple_user_backends"] as const;

/** Disables local login for everybody who does not use the direct address; only when doctor finds nothing wrong. */
export function localLoginStep(context: SetupContext): Step {
  const { ocs, record, answers } = context;
  return {
    title: "Nextcloud: local login",
    settles: true,
    async inspect() {
      if (!answers.disableLocalLogin) return done("stays on (--disable-local-login)");
      if ((await readAppConfig(ocs, ...BACKENDS)) === "0") return done("off");
      return toDo(
        `switch it off, when doctor finds nothing wrong; administrators then log in at ${answers.nextcloudUrl}/login?direct=1`,
      );
    },
    async apply() {
      const results = await context.doctor();
      if (hasFailures(results)) {
        const failed = results.filter(({ status }) => status === "fail").map(({ id }) => id);
        return [`Local login stays on, because doctor found: ${failed.join(", ")}. Run npx clavex-nextcloud doctor.`];
      }
      await writeAppConfig(ocs, ...BACKENDS, "0");
      await record.write({ localLogin: true });
      return [];
    },
    async undo() {
      if (!(await record.read()).localLogin) return undefined;
      await deleteAppConfig(ocs, ...BACKENDS);
      await record.write({ localLogin: undefined });
      return "switched on again";
    },
  };
}
