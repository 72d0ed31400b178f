/** List prices in US dollars (Frankfurt), as docs/deploy.md states them. */
export const PRICES = {
  /** A function call. */
  call: 0.2 / 1e6,
  /** A second of a function of 1 GB (arm64). */
  second: 0.0000133,
  /** A write to the table, and a read of up to 4 KB. */
  write: 0.7625 / 1e6,
  read: 0.1525 / 1e6,
};

const MINUTES_A_MONTH = 43_200;

/** What a function does each minute: its seconds are measured (docs/deploy.md), in a function of 1 GB. */
interface EachMinute {
  seconds: number;
  writes: number;
  reads: number;
}

/** The tick, once for all organizations. */
export const TICK: EachMinute = { seconds: 0.28, writes: 0, reads: 0 };
/** The group watch of one organization whose groups do not change; with what the tick reads for it. */
export const WATCH: EachMinute = { seconds: 0.17, writes: 4, reads: 7 };

/** US dollars a month, without the free tier. */
export function monthlyCost({ seconds, writes, reads }: EachMinute): number {
  const { call, second, write, read } = PRICES;
  return MINUTES_A_MONTH * (call + seconds * second + writes * write + reads * read);
}
