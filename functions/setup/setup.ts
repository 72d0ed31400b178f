import type { OidcClient } from "../clavex/management-api.ts";
import { clientsFor, firstReadable } from "../doctor/client.ts";
import { settled } from "../doctor/doctor.ts";
import { apiKeyStep, auditSinkStep, clientStep, mappersStep, permissionsStep, webhookStep } from "./clavex-steps.ts";
import type { SetupContext } from "./context.ts";
import {
  credentialsStep,
  findProvider,
  localLoginStep,
  providerStep,
  skeletonStep,
  socialLoginStep,
} from "./nextcloud-steps.ts";
import { organizationStep } from "./organization-step.ts";
import type { Inspection, Step } from "./step.ts";

/** A step as it was found before anything is changed. */
export interface Planned {
  step: Step;
  inspection: Inspection;
}

/** The result of a step: done now, already done before, or left to a person. */
export interface Outcome {
  title: string;
  state: "done" | "already there" | "by hand";
  lines: string[];
}

/** The steps in their order: each may use what those before it made. */
export function setupSteps(context: SetupContext): Step[] {
  const client = () => findClient(context);
  return [
    credentialsStep(context),
    permissionsStep(context),
    apiKeyStep(context),
    webhookStep(context),
    auditSinkStep(context),
    ...(context.answers.providerName === undefined
      ? [
          clientStep(context, client),
          mappersStep(context, client),
          providerStep(context, client),
          skeletonStep(context),
        ]
      : [socialLoginStep(context.answers.providerName)]),
    organizationStep(context),
    localLoginStep(context),
  ];
}

/**
 * The client that the provider uses, that setup registered, or the newest one that may come back to this Nextcloud; the
 * first of these whose id tokens can be read, so that a provider that works is left alone.
 */
async function findClient(context: SetupContext): Promise<OidcClient | undefined> {
  const { management, record, answers, signingAlgorithms } = context;
  if (!management) return undefined;
  const here = clientsFor(answers.nextcloudUrl, await management.clients()).map((each) => each.client_id);
  const used = (await findProvider(context))?.clientId;
  const { client: made } = await record.read();
  return firstReadable(management, [used, made, ...here], await signingAlgorithms());
}

/**
 * Looks at every step without changing anything. What somebody may just have done with `occ` is looked at twice.
 *
 * @param settle waits until what `occ` wrote has reached the web server
 */
export async function planSetup(steps: Step[], settle: () => Promise<void> = settled): Promise<Planned[]> {
  const planned: Planned[] = [];
  for (const step of steps) planned.push({ step, inspection: await step.inspect() });
  const isUnsettled = ({ step, inspection }: Planned) => step.settles && inspection.state !== "done";
  if (!planned.some(isUnsettled)) return planned;
  await settle();
  for (const each of planned) if (isUnsettled(each)) each.inspection = await each.step.inspect();
  return planned;
}

/**
 * Applies the steps in order. Each inspects again first, because earlier steps may have changed what it finds.
 *
 * @param onOutcome called after each step
 * @param isStopped asked before each step: what follows is left for another run
 * @returns whether every step was reached; false where a first step waits for a person
 */
export async function applySetup(
  steps: Step[],
  onOutcome: (outcome: Outcome) => void,
  isStopped: () => boolean = () => false,
): Promise<boolean> {
  for (const step of steps) {
    if (isStopped()) return false;
    const inspection = await step.inspect();
    const outcome = await applyOne(step, inspection);
    onOutcome(outcome);
    if (step.first && outcome.state === "by hand") return false;
  }
  return true;
}

async function applyOne(step: Step, inspection: Inspection): Promise<Outcome> {
  const { title } = step;
  switch (inspection.state) {
    case "done":
      return { title, state: "already there", lines: inspection.what === undefined ? [] : [inspection.what] };
    case "by hand":
      return { title, state: "by hand", lines: inspection.lines };
    case "to do": {
      const left = await step.apply();
      return left.length === 0
        ? { title, state: "done", lines: [inspection.what] }
        : { title, state: "by hand", lines: left };
    }
  }
}

/** Undoes what setup did, in reverse order. */
export async function removeSetup(steps: Step[], onRemoved: (title: string, what: string) => void): Promise<void> {
  for (const step of steps.toReversed()) {
    const what = await step.undo();
    if (what !== undefined) onRemoved(step.title, what);
  }
}
