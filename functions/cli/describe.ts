import type { Operation } from "../core/plan.ts";
import { quotaText } from "../core/quota.ts";
import { printable } from "../core/text.ts";
import type { Drift } from "../reconcile/drift-report.ts";

/** What each kind of difference is marked with, as in other plans: to be made, changed, taken away. */
export const MARKS: Record<Drift["kind"], string> = {
  create: "+",
  update: "~",
  adopt: "=",
  deprovision: "-",
  delete: "x",
};

/** The lines that tell a person what the operations of a difference change. */
export function describeDrift({ operations, desired, actual, kind }: Drift): string[] {
  if (kind === "adopt") return ["the account is right; the ledger takes note of it"];
  return operations.flatMap((operation) => describeOperation(operation, desired, actual));
}

function describeOperation(operation: Operation, desired: Drift["desired"], actual: Drift["actual"]): string[] {
  switch (operation.kind) {
    case "upsert":
    case "create": {
      const { displayName, email, quota } = operation.profile;
      const changes = operation.kind === "create" || !actual ? ["displayname", "email", "quota"] : operation.changes;
      return [
        ...(actual ? [] : ["account  is made"]),
        ...(changes.includes("displayname") ? [change("name", actual?.displayName, displayName)] : []),
        ...(changes.includes("email") && email !== "" ? [change("e-mail", actual?.email, email)] : []),
        ...(changes.includes("quota") && quota !== undefined
          ? [
              `${change("quota", actual?.quota === undefined ? undefined : quotaText(actual.quota), quotaText(quota))} (${printable(desired.quotaRule)})`,
            ]
          : []),
        ...(operation.kind === "create" ? operation.groups.map((group) => `group    + ${printable(group.name)}`) : []),
      ];
    }
    case "edit":
      return [change(operation.key, undefined, operation.value)];
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

const REASONS: Record<Drift["desired"]["state"], string> = {
  active: "",
  suspended: "suspended in Clavex",
  deleted: "gone from Clavex",
  outOfScope: "in none of the groups of scope.groups",
};

function change(what: string, from: string | undefined, to: string): string {
  const before = from === undefined || from === "" ? "" : `${JSON.stringify(printable(from))} -> `;
  return `${what.padEnd(8)} ${before}${JSON.stringify(printable(to))}`;
}
