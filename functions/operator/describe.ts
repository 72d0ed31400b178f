import { type ActualAccount, ATTRIBUTES, type Profile } from "../core/account.ts";
import { type DesiredAccount, desiredGroups } from "../core/desired.ts";
import type { Operation } from "../core/plan.ts";
import { printable } from "../core/text.ts";
import type { FullDrift } from "../reconcile/drift-report.ts";

/** What each kind of drift is marked with, as in other plans: to be made, changed, taken away. */
export const MARKS: Record<FullDrift["kind"], string> = {
  create: "+",
  update: "~",
  adopt: "=",
  deprovision: "-",
  delete: "x",
};

/** The lines that tell a person what would be done about a drift. */
export function describeDrift({ operations, desired, actual, kind }: FullDrift): string[] {
  if (kind === "adopt") return ["the account is in sync; the ledger will record it"];
  return describeOperations(operations, desired, actual);
}

/** The lines that tell a person what operations change. */
export function describeOperations(
  operations: readonly Operation[],
  desired: DesiredAccount,
  actual: ActualAccount | undefined,
): string[] {
  return operations.flatMap((operation) => describeOperation(operation, desired, actual));
}

function describeOperation(operation: Operation, desired: DesiredAccount, actual: ActualAccount | undefined): string[] {
  switch (operation.kind) {
    case "upsert":
      return describeProfile(operation.profile, desired, actual, actual && operation.changes);
    case "create":
      return [
        ...describeProfile(operation.profile, desired, actual, undefined),
        ...operation.groups.map((group) => `group    + ${printable(group.name)}`),
      ];
    case "edit":
      return [describeEdit(operation, desired, actual)];
    case "join":
      return [`group    + ${printable(operation.group.name)}`];
    case "leave":
      return [`group    - ${printable(operation.name)}`];
    case "disable":
      return [`account  is disabled (${REASONS[desired.state]})`];
    case "enable":
      return ["account  is enabled again"];
    case "delete":
      return [`account  is deleted with its files (${REASONS[desired.state]}, and the grace days are over)`];
  }
}

function describeEdit(
  { key, value }: Extract<Operation, { kind: "edit" }>,
  desired: DesiredAccount,
  actual: ActualAccount | undefined,
): string {
  const attribute = Object.values(ATTRIBUTES).find((each) => each.key === key);
  const line = change(attribute?.label ?? key, actual && attribute?.text(actual), value);
  return attribute === ATTRIBUTES.quota && desired.state === "active"
    ? `${line} (${printable(desired.quotaRule)})`
    : line;
}

/** @param changes the keys of the attributes that change; undefined for all of them */
function describeProfile(
  profile: Profile,
  desired: DesiredAccount,
  actual: ActualAccount | undefined,
  changes: string[] | undefined,
): string[] {
  const lines = Object.values(ATTRIBUTES).flatMap((attribute) => {
    const to = attribute.text(profile);
    if (to === undefined || (changes && !changes.includes(attribute.key))) return [];
    const rule = attribute === ATTRIBUTES.quota && desired.state === "active" ? desired.quotaRule : undefined;
    const line = change(attribute.label, actual && attribute.text(actual), to);
    return [rule === undefined ? line : `${line} (${printable(rule)})`];
  });
  return [...(actual ? [] : ["account  is created"]), ...lines];
}

const REASONS: Record<DesiredAccount["state"], string> = {
  active: "",
  suspended: "suspended in Clavex",
  deleted: "gone from Clavex",
  outOfScope: "in none of the groups of scope.groups",
};

function change(what: string, from: string | undefined, to: string): string {
  const before = from === undefined || from === "" ? "" : `${JSON.stringify(printable(from))} -> `;
  return `${what.padEnd(8)} ${before}${JSON.stringify(printable(to))}`;
}

/** What `--json` shows of somebody for whom nothing but the state is desired. */
const NOTHING = { profile: { displayName: "", email: "", quota: undefined }, quotaRule: "none", directoryGroups: [] };

/** A desired account as `--json` shows it: flat, and with the same fields in every state. */
export function desiredForMachines(desired: DesiredAccount) {
  const { subject, accountId, state, notes } = desired;
  const { profile, quotaRule, directoryGroups } = desired.state === "active" ? desired : NOTHING;
  const groupsKnown = directoryGroups !== "unknown";
  return { subject, accountId, state, ...profile, quotaRule, groups: desiredGroups(desired), groupsKnown, notes };
}
