import { Command } from "commander";
import { createClients } from "../clients.ts";
import type { ActualAccount } from "../core/account.ts";
import { schemeOf } from "../core/identity.ts";
import { quotaText } from "../core/quota.ts";
import { type SubjectRecord, subjectItem } from "../core/record.ts";
import { printable } from "../core/text.ts";
import { describeOperations, desiredForMachines } from "../operator/describe.ts";
import { type Explanation, explainPerson, groupRules } from "../operator/explain.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { atServers, oneOrganization } from "./organizations.ts";
import { findPerson, namedPerson, personLabel, requireDirectory, USER_HELP, USER_OPTION } from "./people.ts";
import { openForReading } from "./pipeline.ts";
import { now, print, printJson, time } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  user: string;
  json?: boolean;
}

/** `explain`: everything about one person: why this id, these groups and this quota, and what would be done. */
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

async function explain(options: Options): Promise<void> {
  const explanation = await lookAt(options);
  if (options.json) printJson(forMachines(explanation));
  else show(explanation);
}

/**
 * Reads everything about the person that the options name. Changes nothing.
 *
 * @throws {CommandError} when there is no such organization or person, or no API key to read Clavex with
 */
export async function lookAt(options: ConnectOptions & { organization?: string; user: string }): Promise<Explanation> {
  const { organizations, secrets, ledger, close } = await openForReading(options);
  const clients = createClients({ secrets, nextcloudConnections: 1 });
  try {
    const organization = await oneOrganization(organizations, options.organization);
    const own = clients.of(organization);
    const { directory, everyGroup } = requireDirectory(own, organization.slug);
    return await atServers(organization, async () => {
      const found = await findPerson(directory, options.user);
      const groups = await everyGroup(Number.NEGATIVE_INFINITY);
      return explainPerson({ ledger, clients: own, groups, now }, { organization, ...found });
    });
  } finally {
    await clients.close();
    await close();
  }
}

function forMachines({ organization, subject, person, names, account, record, decision }: Explanation) {
  const entry = record && subjectItem(record);
  return {
    organization: organization.slug,
    subject,
    user: person,
    names,
    desired: desiredForMachines(decision.desired),
    actual: account,
    entry,
    plan: planForMachines(decision),
  };
}

/** What would be done, for `--json`. */
export function planForMachines({ plan: { refusal, ...rest } }: Explanation["decision"]) {
  return refusal === undefined ? rest : { ...rest, refusal: refusal.message };
}

/** What would be done, in lines; one line says so where that is nothing. */
export function linesToDo({ decision: { desired, plan }, account }: Explanation): string[] {
  const lines = describeOperations(plan.operations, desired, account);
  if (plan.refusal) return [...lines, `nothing${lines.length > 0 ? " more" : ""}: ${plan.refusal.message}`];
  return lines.length > 0 ? lines : ["nothing, everything is in sync"];
}

const say = (what: string, text: string): void => print(`${what.padEnd(12)} ${printable(text)}`);

function show(explanation: Explanation): void {
  const { organization, subject, person, account, record, decision } = explanation;
  const { identity } = organization;
  const { desired } = decision;
  say("Person", person ? personLabel(namedPerson(person)) : "not in Clavex (any more)");
  say("Subject", subject);
  say("Account id", desired.accountId);
  say("", `= ${schemeOf(identity).formula()}`);
  say("State", desired.state);
  showRules(explanation);
  say("Nextcloud", account ? holds(account) : "has no account of this id");
  say("Ledger", record ? remembers(record) : "knows nothing of this person");
  for (const line of linesToDo(explanation)) say("To do", line);
  for (const note of decision.plan.notes) say("Note", note);
}

/** Each group, and the quota, with the rule behind it. */
function showRules(explanation: Explanation): void {
  const { desired } = explanation.decision;
  for (const { name, why } of groupRules(explanation)) say("Group", `${name}: ${why}`);
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
