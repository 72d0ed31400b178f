import { isManaged, nextcloudGroup } from "../core/desired.ts";
import { accountId } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import type { Person } from "../core/person.ts";
import { counted } from "../core/text.ts";
import { listAccounts } from "../nextcloud/accounts.ts";
import { credentialKind, KINDS } from "../nextcloud/credentials.ts";
import { BRUTE_FORCE_FIX } from "../nextcloud/errors.ts";
import { readAppConfig } from "../nextcloud/providers.ts";
import { refusalOfWrites } from "../nextcloud/server.ts";
import { EMPTY_SKELETON, measureSkeleton } from "../nextcloud/throwaway.ts";
import { type Check, type Finding, fail, ok, skipped, warn } from "./check.ts";
import { clockFinding } from "./clock.ts";
import { type DoctorContext, LONGEST_DELAY_MS } from "./context.ts";
import { harmOfQuotaClaims } from "./login.ts";

/** The Nextcloud versions that docs/connect.md is written for. */
const KNOWN_VERSIONS = { first: 27, last: 34 };

/** Nextcloud itself: reachable, allowed in, and set up so that a login finds the pre-provisioned account. */
export const nextcloudChecks: Check[] = [
  {
    id: "nextcloud.reachable",
    title: "Nextcloud answers",
    docs: "docs/connect.md#reachable",
    run: async (context) => ok(`version ${(await context.status()).version}`),
  },
  {
    id: "nextcloud.maintenance",
    title: "Nextcloud is not in maintenance",
    docs: "docs/connect.md#reachable",
    needs: ["nextcloud.reachable"],
    async run(context) {
      const { maintenance, needsUpgrade } = await context.status();
      if (needsUpgrade) return fail("Nextcloud's upgrade is not finished", "occ upgrade");
      return maintenance ? fail("maintenance mode is on", "occ maintenance:mode --off") : ok();
    },
  },
  {
    id: "nextcloud.version",
    title: "Nextcloud's version is a known one",
    docs: "docs/connect.md#versions",
    needs: ["nextcloud.reachable"],
    async run(context) {
      const { version } = await context.status();
      const major = Number(version.split(".")[0]);
      if (major >= KNOWN_VERSIONS.first && major <= KNOWN_VERSIONS.last) return ok(version);
      const range = `${KNOWN_VERSIONS.first} to ${KNOWN_VERSIONS.last}`;
      return warn(
        `this is ${version}; the pipeline is known to work with ${range}`,
        "Try it with one person first: npx clavex-nextcloud rehearse, then provision.",
      );
    },
  },
  {
    id: "nextcloud.clock",
    title: "Nextcloud's clock is right",
    docs: "docs/connect.md#reachable",
    needs: ["nextcloud.reachable"],
    run: async (context) => clockFinding("nextcloud", (await context.status()).date, context.now()),
  },
  {
    id: "nextcloud.brute-force",
    title: "Nextcloud's brute-force protection does not slow the pipeline down",
    docs: "docs/connect.md#credentials",
    needs: ["nextcloud.maintenance"],
    async run(context) {
      const delay = (await context.bruteForceDelay()) ?? 0;
      if (delay === 0) return ok();
      const fix = BRUTE_FORCE_FIX;
      const cause = `failed logins from this address delay every request by ${delay / 1000} s`;
      return delay >= LONGEST_DELAY_MS ? fail(`${cause}, and good ones are refused`, fix) : warn(cause, fix);
    },
  },
  {
    id: "nextcloud.app-password",
    title: "Nextcloud accepts the app password",
    docs: "docs/connect.md#credentials",
    needs: ["nextcloud.brute-force"],
    run: async (context) => ok(`as ${(await context.account()).id}`),
  },
  {
    id: "nextcloud.admin",
    title: "The account is an administrator",
    docs: "docs/connect.md#credentials",
    needs: ["nextcloud.app-password"],
    async run(context) {
      const { id, groups } = await context.account();
      return groups.includes("admin") ? ok() : fail(`${id} is not in the group admin`, `occ group:adduser admin ${id}`);
    },
  },
  {
    id: "nextcloud.credentials",
    title: "Nextcloud takes writes with these credentials",
    docs: "docs/connect.md#credentials",
    needs: ["nextcloud.admin"],
    run: credentials,
  },
  {
    id: "nextcloud.skeleton",
    title: "Nothing is copied over people's files",
    docs: "docs/connect.md#skeleton",
    needs: ["nextcloud.admin"],
    run: skeleton,
  },
  {
    id: "nextcloud.rate-limit",
    title: "The rate limit of account changes is out of the way",
    docs: "docs/configuration.md#identity",
    run: async ({ organization: { identity } }) =>
      identity.scheme === "user_oidc"
        ? ok("accounts are created by a call without one")
        : warn(
            `with identity.scheme ${identity.scheme} Nextcloud allows 50 changes of existing accounts in ten minutes`,
            "Let user_oidc create the accounts (identity.scheme user_oidc), or expect the first full run to take long.",
          ),
  },
  {
    id: "nextcloud.login-app",
    title: "The login app is enabled",
    docs: "docs/connect.md#user_oidc",
    needs: ["nextcloud.admin"],
    settles: true,
    run: loginApp,
  },
  {
    id: "nextcloud.provider",
    title: "The login provider exists",
    docs: "docs/connect.md#provider",
    needs: ["nextcloud.login-app"],
    settles: true,
    run: providerExists,
  },
  {
    id: "nextcloud.identity",
    title: "identity gives the ids that user_oidc computes",
    docs: "docs/configuration.md#identity",
    needs: ["nextcloud.provider"],
    settles: true,
    run: identityMatches,
  },
  {
    id: "nextcloud.uid-mapping",
    title: "People are recognised by the claim sub",
    docs: "docs/connect.md#provider",
    needs: ["nextcloud.provider"],
    settles: true,
    async run(context) {
      const provider = await context.provider();
      if (provider === undefined) return notSeen(context);
      const { mappingUid } = provider.settings;
      if (mappingUid === "" || mappingUid === "sub") return ok();
      return fail(
        `the provider takes the account id from the claim ${mappingUid}: everybody would get a second account`,
        providerCommand(context, "--mapping-uid=sub"),
      );
    },
  },
  {
    id: "nextcloud.group-provisioning",
    title: "A login leaves groups alone",
    docs: "docs/connect.md#groups",
    needs: ["nextcloud.provider"],
    settles: true,
    run: groupProvisioning,
  },
  {
    id: "nextcloud.avatar",
    title: "The picture comes with the first login",
    docs: "docs/connect.md#provider",
    needs: ["nextcloud.provider"],
    settles: true,
    async run(context) {
      const provider = await context.provider();
      if (provider === undefined) return notSeen(context);
      return provider.settings.mappingAvatar === "picture"
        ? ok()
        : warn("the provider maps no avatar", providerCommand(context, "--mapping-avatar=picture"));
    },
  },
  {
    id: "nextcloud.login-groups",
    title: "A login needs no group",
    docs: "docs/connect.md#groups",
    needs: ["nextcloud.provider"],
    settles: true,
    async run(context) {
      const provider = await context.provider();
      if (provider === undefined) return notSeen(context);
      if (!provider.settings.restrictLoginToGroups) return ok();
      return warn(
        "the provider lets nobody in who is in no group (of its whitelist): their login ends with HTTP 403",
        `occ config:app:set user_oidc provider-${provider.id}-restrictLoginToGroups --value=0`,
      );
    },
  },
  {
    id: "nextcloud.enrichment",
    title: "No attribute overwrites a quota at login",
    docs: "docs/connect.md#quota",
    needs: ["clavex.api-key"],
    readsEverybody: true,
    run: enrichment,
  },
  {
    id: "nextcloud.sharing",
    title: "New colleagues are found in the share dialog",
    docs: "docs/connect.md#sharing",
    needs: ["nextcloud.admin"],
    settles: true,
    run: sharing,
  },
  {
    id: "nextcloud.config-flags",
    title: "config.php does not lock people out",
    docs: "docs/connect.md#config-flags",
    run: async ({ organization }) => configFlags(organization),
  },
  {
    id: "nextcloud.local-accounts",
    title: "No local account has a person's id",
    docs: "docs/operations.md#dead-letters",
    needs: ["nextcloud.admin", "clavex.api-key"],
    readsEverybody: true,
    run: localAccounts,
  },
  {
    id: "nextcloud.group-names",
    title: "No other organization uses the same groups",
    docs: "docs/configuration.md#groups-that-are-not-ours",
    needs: ["clavex.api-key"],
    run: groupNames,
  },
];

/** Says which kind the credentials are, and whether core takes writes with them on this server. */
async function credentials(context: DoctorContext): Promise<Finding> {
  const { organization, secrets, ocs } = context;
  const { id, backend } = await context.account();
  const kind = KINDS[credentialKind(backend, await secrets.api(organization, organization.nextcloud.password))];
  const refusal = await refusalOfWrites(ocs, id);
  if (refusal === undefined) return ok(kind);
  return fail(
    `core takes no writes with ${kind}: ${refusal.message}`,
    refusal.fix ?? "Run npx clavex-nextcloud setup.",
  );
}

/** Measured with `writeChecks`; else what the organization's file says, unless the pipeline has seen that it is not so. */
async function skeleton({ organization, writeChecks, ocs, pipeline, now }: DoctorContext): Promise<Finding> {
  const { identity, nextcloud } = organization;
  if (identity.scheme !== "user_oidc") return ok("core accounts get it once, at their first login");
  const skeletons = pipeline.ledger?.skeletons;
  const said = nextcloud.skeleton === "empty";
  let isEmpty = said && ((await skeletons?.get(nextcloud.baseUrl))?.empty ?? true);
  let what = "a new account was seen to have files";
  if (writeChecks) {
    const used = await measureSkeleton(ocs, identity.providerId);
    what = `a new account gets ${used} bytes of files`;
    isEmpty = used === 0;
    await skeletons?.put(nextcloud.baseUrl, { empty: isEmpty, at: now() });
  }
  if (said && !isEmpty) {
    return fail(
      `nextcloud.skeleton says "empty", but ${what}: they would be copied over people's own`,
      `${EMPTY_SKELETON}, then: npx clavex-nextcloud doctor --write-checks; or set nextcloud.skeleton to "default".`,
    );
  }
  if (said) return ok();
  if (isEmpty) return warn("the skeleton is empty", 'Set nextcloud.skeleton to "empty": then nothing is held back.');
  return warn(
    "the skeleton goes to new accounts: of people who have logged in no name is changed, quotas and e-mail addresses 50 in ten minutes, and a login while it is copied ends with HTTP 500",
    `${EMPTY_SKELETON}; new accounts are then created five times faster, and get no example files. Then set nextcloud.skeleton to "empty".`,
  );
}

/** With enrichment in config.php, which no API shows, attributes come along as claims; `quota` is one that counts. */
async function enrichment(context: DoctorContext): Promise<Finding> {
  const { quota, identity } = context.organization;
  if (identity.scheme === "sociallogin") return ok("sociallogin maps no quota");
  if (quota.attribute === "quota") return ok("the attribute quota is the one that the pipeline goes by");
  const have = (await context.users()).flatMap((user) => {
    const value = Object.hasOwn(user.attributes, "quota") ? user.attributes.quota : undefined;
    return value === undefined ? [] : [{ subject: user.subject, value }];
  });
  if (have.length === 0) return ok();
  const worse = harmOfQuotaClaims(have)
    .map((harm) => `; ${harm}`)
    .join("");
  return warn(
    `${counted(have.length, "person has", "people have")} an attribute quota in Clavex: if enrich_login_id_token_with_userinfo is on, it overwrites the pipeline's quota at every login${worse}`,
    "Set send_userinfo_claims=false at the client in Clavex, rename the attribute, or switch enrichment off.",
  );
}

async function sharing({ ocs }: DoctorContext): Promise<Finding> {
  const enumeration = await readAppConfig(ocs, "core", "shareapi_allow_share_dialog_user_enumeration");
  const toGroup = await readAppConfig(ocs, "core", "shareapi_restrict_user_enumeration_to_group");
  if (enumeration === "no") {
    return warn(
      "the share dialog lists nobody: a new colleague is found by the whole name or e-mail address only",
      "occ config:app:set core shareapi_allow_share_dialog_user_enumeration --value=yes",
    );
  }
  if (toGroup === "yes") {
    return warn(
      "the share dialog lists members of one's own groups only: a new colleague in none of them is not found",
      "occ config:app:set core shareapi_restrict_user_enumeration_to_group --value=no",
    );
  }
  return ok();
}

async function loginApp(context: DoctorContext): Promise<Finding> {
  const social = context.organization.identity.scheme === "sociallogin";
  const app = social ? "sociallogin" : "user_oidc";
  const version = await context.appVersion();
  if (version === undefined) {
    return fail(
      `${app} is not enabled: there is no login button, and the accounts it created are not visible, so nobody can be suspended`,
      `occ app:install ${app}, or: occ app:enable ${app}`,
    );
  }
  const major = Number(version.split(".")[0]);
  if (!social && major < 6) {
    return warn(`${app} ${version} is older than those the pipeline is known to work with`, `occ app:update ${app}`);
  }
  return ok(`${app} ${version}`);
}

async function providerExists(context: DoctorContext): Promise<Finding> {
  const { identity } = context.organization;
  if (identity.scheme === "sociallogin") {
    return skipped(
      "the providers of sociallogin cannot be read from outside",
      "Look: occ config:app:get sociallogin custom_providers",
    );
  }
  if (await context.provider()) return ok();
  const providers = await context.providers();
  const what = identity.scheme === "user_oidc" ? `with the id ${identity.providerId}` : "for this Clavex";
  if (providers === undefined) {
    return skipped(
      `this user_oidc does not show its providers, and none ${what} is on record`,
      "Look: occ user_oidc:provider",
    );
  }
  const known = providers.map(({ id, identifier }) => `${id} (${identifier})`).join(", ") || "none";
  return fail(
    `there is no provider ${what}, so there is no login button for it; there are: ${known}`,
    "Run npx clavex-nextcloud setup, or create it by hand: see docs/connect.md. Then put its id into identity.providerId.",
  );
}

/** What a check of the provider's settings says where they are not visible. */
function notSeen({ organization: { identity } }: DoctorContext): Finding {
  const id = identity.scheme === "user_oidc" ? ` ${identity.providerId}` : "";
  return skipped("the provider's settings cannot be read from outside", `Look: occ user_oidc:provider${id}`);
}

async function identityMatches(context: DoctorContext): Promise<Finding> {
  const { identity } = context.organization;
  if (identity.scheme !== "user_oidc") return skipped("core accounts do not depend on the provider's settings");
  const provider = await context.provider();
  if (provider === undefined) return notSeen(context);
  const { uniqueUid, providerBasedId } = provider.settings;
  const differences = [
    ...(uniqueUid === identity.uniqueUserIds
      ? []
      : [`unique user ids are ${onOff(uniqueUid)} in Nextcloud, ${onOff(identity.uniqueUserIds)} in uniqueUserIds`]),
    ...(uniqueUid || providerBasedId === identity.providerBasedIds
      ? []
      : [`provider-based ids are ${onOff(providerBasedId)}, ${onOff(identity.providerBasedIds)} in providerBasedIds`]),
    ...(!uniqueUid &&
    providerBasedId &&
    provider.identifier !== undefined &&
    provider.identifier !== identity.providerIdentifier
      ? [`the provider is called ${provider.identifier}, not ${identity.providerIdentifier}`]
      : []),
  ];
  if (differences.length === 0) return ok();
  const providerBased = `occ config:app:set user_oidc provider-${identity.providerId}-providerBasedId --value=${identity.providerBasedIds ? 1 : 0}`;
  return fail(
    `${differences.join("; ")}: everybody would get a second, empty account`,
    `Change identity in the organization's file to what Nextcloud has. Do not change the provider once people have logged in; before that provider-based ids are set by: ${providerBased}`,
  );
}

const onOff = (on: boolean): string => (on ? "on" : "off");

async function groupProvisioning(context: DoctorContext): Promise<Finding> {
  const provider = await context.provider();
  if (provider === undefined) return notSeen(context);
  if (!provider.settings.groupProvisioning) return ok();
  const { groups } = context.organization;
  const fix = providerCommand(context, "--group-provisioning=0");
  const cause =
    "group provisioning is on: each login removes the person from every group that is not in the claim, admin and local groups included";
  const ours =
    groups.prefix !== "" || groups.always.length > 0 || groups.never.length > 0 || !groups.managed.includes("*");
  return ours
    ? fail(
        `${cause}, and it does not know this organization's rules in "groups": login and pipeline would undo each other`,
        fix,
      )
    : warn(cause, fix);
}

/** The occ line that changes one setting of the provider; its name is not visible everywhere. */
function providerCommand({ organization: { identity } }: DoctorContext, option: string): string {
  const name = identity.scheme === "user_oidc" ? (identity.providerIdentifier ?? "NAME") : "NAME";
  return `occ user_oidc:provider ${name} ${option} (its NAME is shown by: occ user_oidc:provider)`;
}

/** config.php cannot be read from outside; which flags do harm depends on how the accounts are made (docs/facts/nextcloud.md 7). */
function configFlags({ identity }: Organization): Finding {
  if (identity.scheme === "sociallogin") {
    return skipped(
      "config.php cannot be read from outside",
      "Look: occ config:app:get sociallogin prevent_create_email_exists",
    );
  }
  const harmful =
    identity.scheme === "database"
      ? "soft_auto_provision must not be false"
      : identity.uniqueUserIds
        ? "auto_provision must not be false and disable_account_creation must not be true"
        : "soft_auto_provision must not be false (before user_oidc 7.3.1)";
  return skipped(
    `config.php cannot be read from outside: with this identity ${harmful}, else logins end with HTTP 400`,
    "Look: occ config:system:get user_oidc",
  );
}

async function localAccounts(context: DoctorContext): Promise<Finding> {
  const { identity } = context.organization;
  if (identity.scheme !== "user_oidc") return ok("core accounts are meant to be local ones");
  const ids = new Map<string, Person>();
  const bare = new Set<string>();
  for (const user of await context.users()) {
    if (user.erased) continue;
    const id = accountId(identity, user.subject);
    ids.set(id, user);
    if (id !== user.subject) bare.add(user.subject);
  }
  const accounts = await listAccounts(context.ocs, new Set([...ids.keys(), ...bare]));
  const local = [...accounts].filter(([id, account]) => ids.has(id) && account.backend === "Database");
  // user_oidc looks for an account of the bare subject before it computes an id (docs/facts/nextcloud.md 2 B).
  const taken = [...accounts.keys()].filter((id) => bare.has(id));
  const found = [...accounts.keys()].filter((id) => ids.has(id)).length;
  if (local.length === 0 && taken.length === 0) return ok(`${found} of ${ids.size} people have their account`);
  return fail(
    [
      ...(local.length === 0 ? [] : [`local accounts have people's ids: ${local.map(([id]) => id).join(", ")}`]),
      ...(taken.length === 0
        ? []
        : [`a login lands in the account with the bare subject instead: ${taken.join(", ")}`]),
    ].join("; "),
    "Ids cannot be changed: delete them if nobody needs them (occ user:delete ID), and transfer their files first if somebody does (docs/existing-people.md). Until then these people are not provisioned, or not where they log in.",
  );
}

async function groupNames(context: DoctorContext): Promise<Finding> {
  const { organization, others } = context;
  const neighbours = others.filter(
    (other) => other.nextcloud.baseUrl === organization.nextcloud.baseUrl && other.clavex.apiKey !== undefined,
  );
  if (neighbours.length === 0) return ok("no other organization is on this Nextcloud");
  const ours = idsOf(organization, await context.groupNames());
  const clashes: string[] = [];
  for (const other of neighbours) {
    const theirs = idsOf(other, await context.groupNamesOf(other));
    for (const [gid, name] of ours) if (theirs.has(gid)) clashes.push(`${name} (with ${other.slug})`);
  }
  if (clashes.length === 0) return ok();
  return fail(
    `these groups would be the same Nextcloud groups: ${clashes.join(", ")}; whoever comes second cannot use them`,
    "Give each organization a groups.prefix, or its own provider with unique user ids.",
  );
}

/** The Nextcloud groups of an organization's managed groups, by id. */
function idsOf(organization: Organization, names: string[]): Map<string, string> {
  const ids = new Map<string, string>();
  for (const name of names) {
    const result = isManaged(organization, name) ? nextcloudGroup(organization, name) : undefined;
    if (result && "group" in result) ids.set(result.group.gid, name);
  }
  return ids;
}
