import { Command } from "commander";
import { createGroupMap } from "../clavex/group-map.ts";
import type { DirectoryUser } from "../clavex/user.ts";
import { createClients } from "../clients.ts";
import type { ActualAccount } from "../core/account.ts";
import { type DesiredAccount, desiredAccount, isManaged } from "../core/desired.ts";
import { isDeletable } from "../core/grace.ts";
import { accountId, type Identity } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import { matchesAny } from "../core/patterns.ts";
import { type Plan, plan } from "../core/plan.ts";
import { quotaText } from "../core/quota.ts";
import { printable } from "../core/text.ts";
import type { SubjectEntry } from "../ledger/ledger.ts";
import { getAccount } from "../nextcloud/accounts.ts";
import { createGroupLookup } from "../provision/group-lookup.ts";
import { describeDrift } from "./describe.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { requireOrganization } from "./organizations.ts";
import { findUser } from "./people.ts";
import { openForReading } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { print, printJson, time } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization: string;
  user: string;
  json?: boolean;
}

/** `explain`: everything about one person: why this id, these groups, this quota, and what would be done. */
export function explainCommand(): Command {
  return withConnection(new Command("explain"))
    .description(
      "Explains one person's account: its id, each group, the quota, what Nextcloud holds, what would be done.",
    )
    .requiredOption("--organization <slug>", "the organization")
    .requiredOption("--user <id|email>", "the person's subject (UUID) or e-mail address in Clavex")
    .option("--json", "print JSON")
    .action(explain);
}

/** All that is known of a person. */
interface Explanation {
  organization: Organization;
  subject: string;
  user: DirectoryUser | undefined;
  names: readonly string[];
  desired: DesiredAccount;
  actual: ActualAccount | undefined;
  entry: SubjectEntry | undefined;
  /** What would be done, or why nothing can be. */
  plan: Plan | { refusal: string };
}

async function explain(options: Options): Promise<void> {
  const { organizations, secrets, ledger, close } = await openForReading(options);
  const clients = createClients({ secrets, nextcloudConnections: 1 });
  try {
    const organization = await requireOrganization(organizations, options.organization);
    const system = clients.of(organization);
    if (!system.clavex)
      throw new CommandError(`organization ${organization.slug} has no clavex.apiKey: nobody can be read from Clavex`);
    const found = await findUser(system.clavex.api, options.user);
    if (!found)
      throw new CommandError("Clavex has nobody with this e-mail address; give the UUID of a person who is gone");
    const { subject, user } = found;
    // Every group, those too that the policy leaves out: somebody may ask why.
    const { value: map } = await createGroupMap(system.clavex.api, () => true)(Number.NEGATIVE_INFINITY);
    const names = user ? map.of(subject) : [];
    const desired = desiredAccount(organization, subject, { user, groups: names });
    const actual = await getAccount(system.ocs, desired.accountId);
    const entry = await ledger.subject(organization.slug, subject);
    const groups = await createGroupLookup(ledger).resolve(organization, system, desired, actual, map.names);
    let made: Explanation["plan"];
    try {
      const deletable = isDeletable(organization, desired, entry, Date.now());
      made = plan({ organization, desired, actual, entry, groups, deletable });
    } catch (error) {
      made = { refusal: error instanceof Error ? error.message : String(error) };
    }
    const explanation = { organization, subject, user, names, desired, actual, entry, plan: made };
    if (options.json) printJson({ ...explanation, organization: organization.slug });
    else show(explanation);
  } finally {
    await clients.close();
    await close();
  }
}

function show({ organization, subject, user, names, desired, actual, entry, plan: made }: Explanation): void {
  const { identity } = organization;
  const say = (what: string, text: string) => print(`${what.padEnd(12)} ${printable(text)}`);
  say("Person", user ? `${user.firstName} ${user.lastName}`.trim() || user.email : "not in Clavex (any more)");
  say("Subject", subject);
  say("Account id", accountId(identity, subject));
  say("", `= ${formula(identity)}`);
  say("State", desired.state);
  for (const name of names) {
    const group = desired.groups.find((each) => each.name === name && each.source === "clavex");
    const why = group
      ? `joins Nextcloud group ${group.gid}`
      : isManaged(organization, name)
        ? "cannot be a Nextcloud group"
        : matchesAny(organization.groups.never, name)
          ? "left out by groups.never"
          : "not in groups.managed";
    say("Group", `${name}: ${why}`);
  }
  for (const group of desired.groups) if (group.source === "always") say("Group", `${group.gid}: in groups.always`);
  say(
    "Quota",
    desired.quota === undefined
      ? "left alone: no rule gives one"
      : `${quotaText(desired.quota)} (rule: ${desired.quotaRule})`,
  );
  say("Nextcloud", actual ? holds(actual) : "has no account of this id");
  say("Ledger", entry ? remembers(entry) : "knows nothing of this person");
  if ("refusal" in made) say("To do", `nothing: ${made.refusal}`);
  else {
    const lines = describeDrift({
      subject,
      accountId: desired.accountId,
      name: "",
      kind: "update",
      desired,
      actual,
      operations: made.operations,
      hash: "",
      entry,
    });
    for (const line of lines.length > 0 ? lines : ["nothing, everything is as it should be"]) say("To do", line);
    for (const note of made.notes) say("Note", note);
  }
}

function formula(identity: Identity): string {
  switch (identity.scheme) {
    case "database":
      return "the subject";
    case "sociallogin":
      return `"${identity.providerName}-" and the subject`;
    case "user_oidc":
      if (identity.uniqueUserIds)
        return `sha256("${identity.providerId}_0_" and the subject), as user_oidc does with unique user ids`;
      return identity.providerBasedIds ? `"${identity.providerIdentifier}-" and the subject` : "the subject";
  }
}

function holds({ enabled, backend, displayName, email, quota, groups }: ActualAccount): string {
  const size = quota === undefined ? "unknown quota" : `quota ${quotaText(quota)}`;
  return `${enabled ? "enabled" : "disabled"}, backend ${backend}, ${displayName}, ${email}, ${size}, groups: ${groups.join(", ") || "none"}`;
}

function remembers({ state, readAt, disabledByUs, groups, parked }: SubjectEntry): string {
  const read = readAt === undefined ? "never applied" : `applied as of ${time(readAt)}`;
  const flags = [...(disabledByUs ? ["disabled by us"] : []), ...(parked ? ["has a dead letter"] : [])];
  return [`${state}, ${read}`, ...flags, `memberships by us: ${groups.join(", ") || "none"}`].join(", ");
}
