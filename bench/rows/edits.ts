import { durationOfEdits } from "../../functions/core/edit-slots.ts";
import type { Edited, Waits } from "../edits.ts";
import { startProcess } from "../process.ts";
import { type BenchOptions, median, type Result } from "../report.ts";
import type { EditsProcess } from "./edits-process.ts";

const PEOPLE = 10_000;
/** 10,000 edits by PATCH take 33 hours: after this time the rest follows from Nextcloud's limit. */
const SIMULATED_MS = 12 * 60_000;
const AT_MOST = 0.05;

/**
 * Row 6: the quota of a group is changed in the organization document, and with it those of 10,000 people who have logged in; and what
 * people wait who join or leave meanwhile. On Nextcloud 34.0, with its skeleton empty and not, in simulated time.
 */
export async function edits({ people = PEOPLE, onProgress }: BenchOptions): Promise<Result[]> {
  // Side by side, which changes nothing in simulated time.
  const both = (["empty", "default"] as const).map(async (skeleton) => {
    const process = startProcess<EditsProcess>("rows/edits-process.ts");
    try {
      const edited = await process.editQuotas({ people, skeleton, endsAfterMs: SIMULATED_MS });
      const words = skeleton === "empty" ? "skeleton empty" : "skeleton of 20 MB";
      onProgress(`${words}: ${edited.written} of ${people} quotas written in ${duration(edited.seconds)}`);
      return linesOf(people, words, edited);
    } finally {
      await process.stop();
    }
  });
  return (await Promise.all(both)).flat();
}

function linesOf(people: number, words: string, edited: Edited): Result[] {
  const { written, seconds, requests, refused, newcomers, leavers } = edited;
  const longest = Math.max(...newcomers.seconds, ...leavers.seconds);
  const all = secondsForAll(edited);
  const line = { row: "edits", numbers: { people, written, seconds, requests, refused, longest, all } };
  return [
    {
      ...line,
      measured: `${people} quotas at once, ${words}`,
      figures: `all written after ${duration(all)}; ${requests} requests in ${duration(seconds)}, ${refused} answered with 429`,
      baseline: `people: ${people}; none answered with 429`,
      ratio: refused / people,
      target: { atMost: 0 },
    },
    {
      ...line,
      measured: `${newcomers.seconds.length} new people and ${leavers.seconds.length} leavers meanwhile`,
      figures: `new: ${waited(newcomers)}; leavers: ${waited(leavers)}`,
      baseline: `all quotas: ${duration(all)}`,
      ratio: longest / all,
      target: { atMost: AT_MOST },
    },
  ];
}

/** Where not all were written, the rest takes as long as Nextcloud's limit says. */
const secondsForAll = ({ left, seconds }: Edited): number => seconds + (left > 0 ? durationOfEdits(left) / 1000 : 0);

const waited = ({ seconds, requests }: Waits): string =>
  `p50 ${median(seconds).toFixed(1)} s, at most ${Math.max(...seconds).toFixed(1)} s and ${Math.max(...requests)} requests`;

function duration(seconds: number): string {
  if (seconds < 600) return `${seconds.toFixed(0)} s`;
  return seconds < 7_200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3_600).toFixed(1)} h`;
}
