import { PipelineFailure } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { Entered } from "./guards.ts";
import type { Outcome } from "./outcome.ts";

/** The organization is paused, and only the job knows what happened: it waits. */
export class OrganizationPaused extends PipelineFailure {
  constructor() {
    super("transient", "organization-paused", "the organization is paused, its job waits", "organization");
  }
}

/**
 * How a job of a paused organization ends. With an API key it is done: the full run after `resume` finds everything it would have
 * done.
 *
 * @throws {OrganizationPaused} without an API key, because only the job knows what its webhook said; and of a dead letter that was
 * sent back, which is on its way until a job of its person has succeeded or is refused again
 */
export function whilePaused({ clients }: Pick<Entered, "clients">, { trigger }: Job): Outcome {
  if (clients.directory.mode === "snapshots" || trigger.kind === "replay") throw new OrganizationPaused();
  return { result: "ignored", why: "the organization is paused" };
}
