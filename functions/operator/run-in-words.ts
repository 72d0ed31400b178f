import { counted } from "../core/text.ts";
import type { Run } from "../reconcile/reconcile.ts";

/** Why a run did nothing. */
export const WHY_NOTHING: Record<Exclude<Run["result"], "done">, (slug: string) => string> = {
  busy: () => "another reconciliation is under way",
  unreadable: () => "it has no clavex.apiKey to read the directory with",
  paused: (slug) =>
    `it is paused. Look at npx clavex-nextcloud plan, then: npx clavex-nextcloud resume --organization ${slug}`,
};

/** What a run did, or of a dry run would do, one line for each thing. */
export function runInWords(slug: string, run: Run, dryRun = false): string[] {
  if (run.result !== "done") return [`${slug}: nothing was done: ${WHY_NOTHING[run.result](slug)}`];
  const { report, sent, waiting, refused, held, heldLeaves } = run;
  return [
    `${slug}: looked at ${counted(report.people, "person", "people")}, ${dryRun ? "would send" : "sent"} ${counted(sent, "job")}; ${waiting} wait already, ${refused} were refused before.${dryRun ? " Nothing was changed." : ""}`,
    ...[held, heldLeaves].flatMap((each) => (each ? [`${slug}: held: ${each.explanation}`] : [])),
  ];
}

/** Whether a run did all that was asked of it. */
export function wentWell(run: Run): boolean {
  return run.result === "done" && !run.held && !run.heldLeaves;
}
