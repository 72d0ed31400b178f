import { type Braked, BrakeHeld, GroupsEmpty } from "../core/brake.ts";
import type { Decision } from "../core/evaluate.ts";
import type { PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import { deprovisions, losesGroup, type Operation } from "../core/plan.ts";
import { isAdmitted, type SubjectRecord } from "../core/record.ts";
import type { Brake } from "./brake.ts";

/** What of a plan may be done now. */
export interface Permit {
  operations: readonly Operation[];
  /** Why the person stays in groups that they are to leave; all else is done. */
  held: PipelineFailure | undefined;
  /** What has to be noted in the person's record before the change. */
  admitted: SubjectRecord["admitted"];
  overDaily: boolean;
}

export interface PermitInput {
  organization: Organization;
  decision: Decision;
  record: SubjectRecord | undefined;
  /** When the job was sent, in milliseconds since the epoch: the same at each of its attempts. */
  sentAt: number;
  /** Whether the directory showed no groups at all. */
  groupsEmpty: boolean;
  now: number;
}

/**
 * Asks the brakes. Whoever was admitted before, and whose job is not done yet, is not counted again.
 *
 * @throws {BrakeHeld} when the person's account must not be closed now
 * @throws {GroupsEmpty} when it is to be closed because the directory shows no groups
 */
export async function permit(brake: Brake, input: PermitInput): Promise<Permit> {
  const { organization, decision, groupsEmpty } = input;
  const { operations } = decision.plan;
  if (deprovisions(operations)) {
    if (groupsEmpty && decision.desired.state === "outOfScope") await requireAllowance(brake, organization);
    return { operations, held: undefined, ...(await pass(brake, input, "deprovisions")) };
  }
  const leaves = operations.some(({ kind }) => kind === "leave");
  const unbraked: Permit = { operations, held: undefined, admitted: undefined, overDaily: false };
  if (!leaves || !(groupsEmpty || losesGroup(operations))) return unbraked;
  try {
    if (groupsEmpty) await requireAllowance(brake, organization);
    return { operations, held: undefined, ...(await pass(brake, input, "leaves")) };
  } catch (error) {
    if (!(error instanceof BrakeHeld || error instanceof GroupsEmpty)) throw error;
    return { ...unbraked, operations: operations.filter(({ kind }) => kind !== "leave"), held: error };
  }
}

/** One empty list may be an odd answer: it is not believed, and holds nobody once there are groups again. */
async function requireAllowance(brake: Brake, { slug }: Organization): Promise<void> {
  if (!(await brake.isAllowed(slug, "leaves"))) throw new GroupsEmpty(slug);
}

async function pass(
  brake: Brake,
  { organization, decision, record, sentAt, now }: PermitInput,
  braked: Braked,
): Promise<Pick<Permit, "admitted" | "overDaily">> {
  if (isAdmitted(record, braked, now)) return { admitted: undefined, overDaily: false };
  const attempt = `${decision.desired.subject} ${sentAt}`;
  return { admitted: { braked, at: now }, ...(await brake.admit(organization, braked, attempt)) };
}
