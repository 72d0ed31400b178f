import type { DesiredAccount, DesiredGroup } from "../core/desired.ts";
import { PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { Operation } from "../core/plan.ts";
import { printable } from "../core/text.ts";
import {
  createCoreAccount,
  deleteAccount,
  editAccount,
  joinGroup,
  leaveGroup,
  setAccountEnabled,
  upsertOidcAccount,
} from "../nextcloud/accounts.ts";
import { OcsRefusal } from "../nextcloud/errors.ts";
import { createGroup } from "../nextcloud/groups.ts";
import type { Ocs } from "../nextcloud/ocs.ts";
import type { GroupLookup } from "./group-lookup.ts";

/** The time for one job is over; what is left of it is done by the next attempt, so that a slow server holds up nobody else. */
export class JobOverTime extends PipelineFailure {
  constructor() {
    super("transient", "job-over-time", "the time for one job was over before all was done", "subject");
  }
}

/** An account of the id appeared between looking and making it: look and plan again. */
export class AccountAppeared extends Error {
  override name = "AccountAppeared";
}

export interface Applied {
  /** What was done, for the log: `upsert`, `join Engineering`, ... */
  done: string[];
  /** What could not be done for this person although the rest was; one sentence each. */
  notes: string[];
  /** The ids of the groups that were joined. */
  joined: string[];
}

/** Carries plans out, one operation after the other. */
export type Apply = (
  organization: Organization,
  systems: { ocs: Ocs; nextcloudOrigin: string },
  desired: DesiredAccount,
  operations: readonly Operation[],
  /** Asked before each operation. */
  hasTime: () => boolean,
) => Promise<Applied>;

/** @param ownership whom groups belong to; a group is claimed there before it is made */
export function createApply(ownership: GroupLookup): Apply {
  return async (organization, { ocs, nextcloudOrigin }, desired, operations, hasTime) => {
    const id = desired.accountId;
    const applied: Applied = { done: [], notes: [], joined: [] };

    const skip = (group: DesiredGroup, reason: string): false => {
      applied.notes.push(`group ${printable(group.name)} is skipped: ${printable(reason)}`);
      return false;
    };

    /** Makes a group; skips it for this person when Nextcloud cannot hold it. */
    const make = async (group: DesiredGroup): Promise<boolean> => {
      try {
        await createGroup(ocs, group.gid, group.displayName);
        return true;
      } catch (error) {
        if (error instanceof OcsRefusal) return skip(group, error.message);
        throw error;
      }
    };

    /** Claims a group and makes it if it is new; a group that somebody made before is taken to be there still. */
    const prepare = async (group: DesiredGroup): Promise<boolean> => {
      const { adopt } = organization.groups;
      if (group.source === "always" || adopt.includes(group.name) || adopt.includes(group.gid)) return true;
      const claim = await ownership.claim(organization, nextcloudOrigin, group.gid, group.name);
      if (claim === "other") return skip(group, `another organization owns the Nextcloud group ${group.gid}`);
      return claim === "ours" || make(group);
    };

    const join = async (group: DesiredGroup): Promise<void> => {
      if (!(await prepare(group))) return;
      if (!(await joinGroup(ocs, id, group.gid))) {
        // Deleted in Nextcloud, or never made because a worker stopped after claiming it.
        // One that was to be adopted and is not there becomes ours.
        if (group.source === "clavex") await ownership.claim(organization, nextcloudOrigin, group.gid, group.name);
        if (!(await make(group))) return;
        if (!(await joinGroup(ocs, id, group.gid))) return void skip(group, "Nextcloud does not find it");
      }
      applied.joined.push(group.gid);
      applied.done.push(`join ${printable(group.name)}`);
    };

    const create = async (operation: Extract<Operation, { kind: "create" }>): Promise<void> => {
      let groups: DesiredGroup[] = [];
      for (const group of operation.groups) if (await prepare(group)) groups.push(group);
      const attempt = () =>
        createCoreAccount(
          ocs,
          id,
          operation.profile,
          groups.map((group) => group.gid),
        );
      let made: boolean;
      try {
        made = await attempt();
      } catch (error) {
        // 104: one of the groups is not there, and nothing was made.
        if (!(error instanceof OcsRefusal && error.status === 104)) throw error;
        const found: DesiredGroup[] = [];
        for (const group of groups) if (await make(group)) found.push(group);
        groups = found;
        made = await attempt();
      }
      if (!made) throw new AccountAppeared();
      applied.joined.push(...groups.map((group) => group.gid));
      applied.done.push("create", ...groups.map((group) => `join ${printable(group.name)}`));
    };

    const upsert = async ({ profile, changes }: Extract<Operation, { kind: "upsert" }>): Promise<void> => {
      const { identity } = organization;
      if (identity.scheme !== "user_oidc") throw new Error("only user_oidc has an upsert");
      await upsertOidcAccount(ocs, identity.providerId, desired.subject, profile, id);
      applied.done.push(`upsert ${changes.join("+")}`);
    };

    for (const operation of operations) {
      if (!hasTime()) throw new JobOverTime();
      switch (operation.kind) {
        case "disable":
        case "enable":
          await setAccountEnabled(ocs, id, operation.kind === "enable");
          applied.done.push(operation.kind);
          break;
        case "delete":
          await deleteAccount(ocs, id);
          applied.done.push("delete");
          break;
        case "leave":
          await leaveGroup(ocs, id, operation.gid);
          applied.done.push(`leave ${printable(operation.name)}`);
          break;
        case "upsert":
          await upsert(operation);
          break;
        case "create":
          await create(operation);
          break;
        case "edit":
          await editAccount(ocs, id, operation.key, operation.value);
          applied.done.push(`edit ${operation.key}`);
          break;
        case "join":
          await join(operation.group);
          break;
      }
    }
    return applied;
  };
}
