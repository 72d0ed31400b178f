import type { ActualAccount } from "./account.ts";
import { type DesiredAccount, desiredAccount, desiredGroups, unlistedGroups } from "./desired.ts";
import { isDeletable } from "./grace.ts";
import type { Organization } from "./organization.ts";
import type { DirectoryState } from "./person.ts";
import { type GroupKnowledge, type Plan, plan } from "./plan.ts";
import type { SubjectRecord } from "./record.ts";

/** All that is known of one person. */
export interface EvaluationInput {
  organization: Organization;
  subject: string;
  directory: DirectoryState;
  account: ActualAccount | undefined;
  record: SubjectRecord | undefined;
  /** Whose the Nextcloud groups are, as far as somebody has looked; by id. */
  groups: ReadonlyMap<string, GroupKnowledge>;
  /** Whether this job or report may delete accounts whose grace period is over. */
  mayPurge: boolean;
  /** See `PlanInput`. */
  skeletonIsEmpty: boolean;
  /** The earliest that it can be, by any clock (milliseconds since the epoch): nobody's account is deleted before its time. */
  now: number;
}

/** A Nextcloud group of which nothing is known yet. */
export interface GroupQuestion {
  gid: string;
  /** The policy puts everybody in it: then only another organization's claim matters. */
  always: boolean;
  /** The account is in it, so it exists. */
  exists: boolean;
}

/** What is to be done for a person, or which groups have to be looked up first. */
export type Evaluation =
  | { result: "planned"; desired: DesiredAccount; plan: Plan }
  | { result: "unknown-groups"; desired: DesiredAccount; questions: GroupQuestion[] };

/** An evaluation for which every group is known. */
export type Decision = Exclude<Evaluation, { result: "unknown-groups" }>;

/**
 * The one sequence from what is known of a person to what has to be done: the desired account, whose its groups are, the plan.
 * A refusal is part of the plan; it is the person's own and says nothing about others.
 */
export function evaluate(input: EvaluationInput): Evaluation {
  const { organization, subject, directory, account, record, groups, mayPurge, skeletonIsEmpty, now } = input;
  const wanted = desiredAccount(organization, subject, directory, account !== undefined);
  const questions = groupQuestions(wanted, account, groups);
  if (questions.length > 0) return { result: "unknown-groups", desired: wanted, questions };
  const desired = directory.listed === undefined ? wanted : withUnlisted(wanted, input);
  const deletable = mayPurge && isDeletable(organization, desired.state, record, now);
  return {
    result: "planned",
    desired,
    plan: plan({ organization, desired, actual: account, record, groups, deletable, skeletonIsEmpty }),
  };
}

/** Where the directory's list of groups may not be all, those that are not in it stay as they are. */
function withUnlisted(
  desired: DesiredAccount,
  { organization, directory, account, record, groups }: EvaluationInput,
): DesiredAccount {
  if (desired.state !== "active") return desired;
  const isOurs = (gid: string): boolean => groups.get(gid)?.ownership === "ours";
  const ours = [...(account?.groups ?? []).filter(isOurs), ...(record?.groups ?? [])];
  const gids = unlistedGroups(organization, directory, ours);
  return { ...desired, unreadGroups: [...desired.unreadGroups, ...gids] };
}

/** Groups of a person who is not active are left as they are: nothing has to be known of them. */
function groupQuestions(
  desired: DesiredAccount,
  account: ActualAccount | undefined,
  known: ReadonlyMap<string, GroupKnowledge>,
): GroupQuestion[] {
  if (desired.state !== "active") return [];
  const member = account?.groups ?? [];
  const always = desired.alwaysGroups.map(({ gid }) => gid);
  const unknown = [...desiredGroups(desired).map(({ gid }) => gid), ...member].filter((gid) => !known.has(gid));
  return [...new Set(unknown)].map((gid) => ({ gid, always: always.includes(gid), exists: member.includes(gid) }));
}
