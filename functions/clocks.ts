import { SKEW_MS } from "./core/clock.ts";
import type { Server } from "./core/failure.ts";
import { counted } from "./core/text.ts";

/**
 * What this machine's clock and those of an organization's servers say. Any of them may be wrong: where a wrong time would do
 * harm, the one of all that does none is used.
 */
export interface Clocks {
  /**
   * Takes the time from an answer that has just come.
   *
   * @param date its `Date` header; without one, what was known of the server stays
   */
  heard(server: Server, date: string | string[] | undefined): void;
  /** The earliest that it can be now, and the latest, by all of these clocks (milliseconds since the epoch). */
  earliest(): number;
  latest(): number;
  /** How far ahead of this machine's clock each server's is, in milliseconds; negative where it is behind. */
  ahead(): ReadonlyMap<Server, number>;
}

/** @param now this machine's clock */
export function createClocks(now: () => number): Clocks {
  const ahead = new Map<Server, number>();
  // A header tells whole seconds, some time ago: less than clocks may differ anyway is no other time.
  const apart = () => Array.from(ahead.values()).filter((each) => Math.abs(each) > SKEW_MS);
  return {
    heard(server, date) {
      const theirs = typeof date === "string" ? Date.parse(date) : Number.NaN;
      if (!Number.isNaN(theirs)) ahead.set(server, theirs - now());
    },
    earliest: () => now() + Math.min(0, ...apart()),
    latest: () => now() + Math.max(0, ...apart()),
    ahead: () => ahead,
  };
}

/** How far two clocks may be apart: as much as token checks usually allow. */
const TOLERANCE_MS = 60_000;

const NAMES: Readonly<Record<Server, string>> = { clavex: "Clavex", nextcloud: "Nextcloud" };

/**
 * What is wrong with the clocks of a server and of this machine, and what to do; undefined where they agree.
 *
 * @param ahead how far ahead of ours the server's is, in milliseconds; negative where it is behind
 */
export function clockProblem(server: Server, ahead: number): { problem: string; fix: string } | undefined {
  if (Math.abs(ahead) <= TOLERANCE_MS) return undefined;
  const name = NAMES[server];
  const where = ahead > 0 ? "ahead of" : "behind";
  return {
    problem: `${name}'s clock is ${inWords(Math.abs(ahead))} ${where} this machine's; logins fail when tokens seem to come from the future`,
    fix: `Let ${name} and this machine synchronise their clocks (timedatectl set-ntp true).`,
  };
}

function inWords(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  for (const [unit, length] of [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
  ] as const)
    if (seconds >= 2 * length) return counted(Math.round(seconds / length), unit);
  return counted(Math.round(seconds), "second");
}
