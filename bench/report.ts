import Table from "cli-table3";
import type { ProfileName } from "./nextcloud-times.ts";

/** One line of the table: a measurement beside its baseline, both of this run. */
export interface Result {
  /** The row of the bench, such as `receiver`. */
  row: string;
  /** What was measured, such as `4 workers`. */
  measured: string;
  /** The figures in words, such as `812 deliveries/s, p50 1.1 ms, p99 3.0 ms`. */
  figures: string;
  /** What it is compared with, and that one's figures. */
  baseline: string;
  /** Measured against baseline. */
  ratio: number;
  /** The target for the ratio; undefined for lines that only inform. */
  target?: { atLeast: number } | { atMost: number };
  /** The same as numbers, for bench/results.json. */
  numbers: Record<string, number>;
}

/** Measures one row. */
export type Row = (options: BenchOptions) => Promise<Result[]>;

export interface BenchOptions {
  /** Which measured server the simulated Nextcloud answers like. */
  profile: ProfileName;
  /** How many people the row `converge` provisions, and whose quotas the row `edits` changes; each has a default. */
  people?: number;
  /** A line about the progress. */
  onProgress: (text: string) => void;
}

/** Whether a result meets its target. */
export function isMet({ ratio, target }: Result): boolean {
  if (!target) return true;
  return "atLeast" in target ? ratio >= target.atLeast : ratio <= target.atMost;
}

export function renderTable(results: readonly Result[]): string {
  const table = new Table({
    head: ["row", "measured", "figures", "baseline", "ratio", "target"],
    style: { head: [], border: [] },
  });
  for (const result of results) {
    const { row, measured, figures, baseline, ratio, target } = result;
    const verdict = target ? `${wanted(target)} ${isMet(result) ? "met" : "MISSED"}` : "";
    table.push([row, measured, figures, baseline, ratio.toFixed(2), verdict]);
  }
  return table.toString();
}

function wanted(target: NonNullable<Result["target"]>): string {
  return "atLeast" in target ? `>= ${target.atLeast.toFixed(2)}` : `<= ${target.atMost.toFixed(2)}`;
}

/** The value below which a share of the values lies; `share` from 0 to 1. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);
