import { Command } from "commander";
import { createClients } from "../clients.ts";
import type { ActualAccount } from "../core/account.ts";
import { desiredGroups, isManaged } from "../core/desired.ts";
import type { Decision } from "../core/evaluate.ts";
import { accountId, schemeOf } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import { matchesAny } from "../core/patterns.ts";
import { type Person, unknownGroups } from "../core/person.ts";
import { quotaText } from "../core/quota.ts";
import { ofAccount, type SubjectRecord, subjectItem } from "../core/record.ts";
import { printable } from "../core/text.ts";
import { getAccount } from "../nextcloud/accounts.ts";
import { createGroupLookup } from "../provision/group-lookup.ts";
import { createSkeletonIsEmpty } from "../provision/skeleton.ts";
import { describeOperations, desiredForMachines } from "./describe.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { oneOrganization } from "./organizations.ts";
import { findPerson, requireDirectory, USER_HELP, USER_OPTION } from "./people.ts";
import { openForReading } from "./pipeline.ts";
import { print, printJson, time } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  user: string;
  json?: boolean;
}

/** `explain`: everything about one person: why this id, these groups, this quota, and what would be done. */
export function explainCommand(): Command {
  return withConnection(new Command("explain"))
    .description(
      "Explains one person's account: its id, each group, the quota, what Nextcloud holds, what would be done.",
    )
    .option("--organization <slug>", "the organization; needed where there are several")
    .requiredOption(USER_OPTION, USER_HELP)
    .option("--json", "print JSON")
    .action(explain);
}

/** All that is known of a person. */
interface Explanation {
  organization: Organization;
  subject: string;
  person: Person | undefined;
  names: readonly string[];
  account: ActualAccount | undefined;
  record: SubjectRecord | undefined;
  /** What would be done, and why no more can be. */
  decision: Decision;
}

async function explain(options: Options): Promise<void> {
  const { organizations, secrets, ledger, close } = await openForReading(options);
  const clients = createClients({ secrets, nextcloudConnections: 1 });
  try {
    const organization = await oneOrganization(organizations, options.organization);
    const own = clients.of(organization);
    const { directory, everyGroup } = requireDirectory(own, organization.slug);
    const { subject, person } = await findPerson(directory, options.user);
    // Every group, those too that the policy leaves out: somebody may ask why.
    const { value: map } = await everyGroup(Number.NEGATIVE_INFINITY);
    const names = person ? map.of(subject) : [];
    const id = accountId(organization.identity, subject);
    const account = await getAccount(own.ocs, id);
    const record = ofAccount(await ledger.subjects.get(organization.slug, subject), id);
    const decision = await createGroupLookup(ledger.claims, Date.now).evaluate(
      {
        organization,
        subject,
        directory: { person, groups: names, ...unknownGroups(map) },
        account,
        record,
        mayPurge: true,
        skeletonIsEmpty: await createSkeletonIsEmpty(ledger, Date.now)(organization),
        now: Date.now(),
      },
      own,
      map.names,
    );
    const explanation = { organization, subject, person, names, account, record, decision };
    if (options.json) printJson(forMachines(explanation));
    else show(explanation);
  } finally {
    await clients.close();
    await close();
  }
}

function forMachines({ organization, subject, person, names, account, record, decision }: Explanation) {
  const { refusal, ...rest } = decision.plan;
  const plan = refusal === undefined ? rest : { ...rest, refusal: refusal.message };
  const entry = record && subjectItem(record);
  return {
    organization: organization.slug,
    subject,
    user: person,
    names,
    desired: desiredForMachines(decision.desired),
    actual: account,
    entry,
    plan,
  };
}

const say = (what: string, text: string): void => print(`${what.padEnd(12)} ${printable(text)}`);

function show(explanation: Explanation): void {
  const { organization, subject, person, account, record, decision } = explanation;
  const { identity } = organization;
  const { desired } = decision;
  say("Person", person ? `${person.firstName} ${person.lastName}`.trim() || person.email : "not in Clavex (any more)");
  say("Subject", subject);
  say("Account id", desired.accountId);
  say("", `= ${schemeOf(identity).formula()}`);
  say("State", desired.state);
  showRules(explanation);
  say("Nextcloud", account ? holds(account) : "has no account of this id");
  say("Ledger", record ? remembers(record) : "knows nothing of this person");
  const { operations, notes, refusal } = decision.plan;
  const lines = describeOperations(operations, desired, account);
  for (const line of lines) say("To do", line);
  if (refusal) say("To do", `nothing${lines.length > 0 ? " more" : ""}: ${refusal.message}`);
  else if (lines.length === 0) say("To do", "nothing, everything is as it should be");
  for (const note of notes) say("Note", note);
}

/** Each group, and the quota, with the rule behind it. */
function showRules({ organization, names, decision: { desired } }: Explanation): void {
  const groups = desiredGroups(desired);
  for (const name of names) {
    const group = groups.find((each) => each.name === name && each.source === "clavex");
    const why = group
      ? `joins Nextcloud group ${group.gid}`
      : isManaged(organization, name)
        ? "cannot be a Nextcloud group"
        : matchesAny(organization.groups.never, name)
          ? "left out by groups.never"
          : "not in groups.managed";
    say("Group", `${name}: ${why}`);
  }
  for (const group of groups) if (group.source === "always") say("Group", `${group.gid}: in groups.always`);
  const quota = desired.state === "active" ? desired.profile.quota : undefined;
  const rule = desired.state === "active" ? desired.quotaRule : "";
  say("Quota", quota === undefined ? "left alone: no rule gives one" : `${quotaText(quota)} (rule: ${rule})`);
}

function holds({ enabled, backend, displayName, email, quota, groups }: ActualAccount): string {
  const size = quota === undefined ? "unknown quota" : `quota ${quotaText(quota)}`;
  return `${enabled ? "enabled" : "disabled"}, backend ${backend}, ${displayName}, ${email}, ${size}, groups: ${groups.join(", ") || "none"}`;
}

function remembers({ state, applied, disabledByUs, groups, refused }: SubjectRecord): string {
  const read = applied === undefined ? "never applied" : `applied as of ${time(applied.readAt)}`;
  const flags = [...(disabledByUs ? ["disabled by us"] : []), ...(refused ? ["has a dead letter"] : [])];
  return [`${state}, ${read}`, ...flags, `memberships by us: ${groups.join(", ") || "none"}`].join(", ");
}
