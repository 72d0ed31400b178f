import type { Answer } from "../http.ts";

/** How many calls to one Nextcloud may be under way, as it answers quickly or slowly. */
export interface AdaptiveLimit {
  /**
   * Makes a call when it may begin; calls begin in the order in which they come.
   *
   * @param kind calls of one kind cost the same and are compared with each other; undefined for one whose cost says nothing
   * @param mayBegin called when it is the call's turn; what it throws ends the call
   */
  run(call: () => Promise<Answer>, kind: string | undefined, mayBegin?: () => void): Promise<Answer>;
}

/** How many answers are looked at before the limit changes. */
const WINDOW = 12;
/**
 * Answers that take this many times longer than usual mean that the server has more to do than it can. Measured on a server of
 * two cores: 1.7 to 2.3 with the 4 connections that saturate it, 3.6 to 5 with 8, which do not get more done.
 */
const TOLERANCE = 2.5;
/** Usual answers are never taken for quicker, in milliseconds: below that, pauses of our own process would pass for the server's. */
const QUICKEST_MS = 2;
const BACK_OFF = 0.7;
/** Below one call at a time there is a rest after each: with a limit of a quarter, three times as long as the call took. */
const LEAST = 0.25;
const LONGEST_REST_MS = 5_000;
/** What is usual is forgotten slowly: it doubles in this time unless answers confirm it. */
const FORGET_MS = 60 * 60_000;

/** The limit itself: a number that follows the answers. */
export interface LimitControl {
  /** How many calls may be under way; below 1, the part of the time in which one may be. */
  limit(): number;
  /** @param milliseconds how long the answer took; infinite for a call that failed */
  answered(kind: string, milliseconds: number): void;
}

/**
 * Raises the limit step by step while answers come as quickly as usual, and lowers it by a third when half of them take much
 * longer: additive increase, multiplicative decrease. What is usual for a kind of call is what the quick answers took.
 *
 * @param most the highest limit
 * @param now milliseconds on any clock
 */
export function createLimitControl(most: number, now: () => number): LimitControl {
  const usual = new Map<string, { milliseconds: number; at: number }>();
  let slowness: number[] = [];
  let limit = Math.min(1, most);

  return {
    limit: () => limit,
    answered(kind, milliseconds) {
      const known = usual.get(kind);
      const expected = known ? known.milliseconds * 2 ** ((now() - known.at) / FORGET_MS) : milliseconds;
      if (Number.isFinite(milliseconds)) {
        // A quarter of the way: a single answer that is quick for another reason changes little.
        usual.set(kind, { milliseconds: expected + Math.min(0, milliseconds - expected) / 4, at: now() });
      }
      slowness.push(milliseconds / Math.max(QUICKEST_MS, expected));
      if (slowness.length < WINDOW) return;
      const middle = slowness.sort((a, b) => a - b)[WINDOW >> 1] ?? 1;
      slowness = [];
      if (middle > TOLERANCE) limit = Math.max(LEAST, limit * BACK_OFF);
      else limit = limit < 1 ? Math.min(1, limit / BACK_OFF) : Math.min(most, Math.floor(limit) + 1);
    },
  };
}

/**
 * Keeps the people who use a Nextcloud from noticing that thousands of accounts are being made: as few calls as keep it busy,
 * fewer when it is slow, whoever is the cause.
 *
 * @param most how many calls may be under way at the most
 */
export function createAdaptiveLimit(most: number): AdaptiveLimit {
  const now = () => performance.now();
  const control = createLimitControl(most, now);
  const waiting: (() => void)[] = [];
  let underWay = 0;
  let restUntil = 0;
  let timer: NodeJS.Timeout | undefined;

  const begin = (): void => {
    while (waiting.length > 0 && underWay < Math.max(1, Math.floor(control.limit()))) {
      const rest = restUntil - now();
      if (rest > 0) {
        clearTimeout(timer);
        timer = setTimeout(begin, Math.ceil(rest));
        return;
      }
      underWay += 1;
      waiting.shift()?.();
    }
  };

  return {
    async run(call, kind, mayBegin = () => undefined) {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        begin();
      });
      try {
        mayBegin();
      } catch (error) {
        underWay -= 1;
        begin();
        throw error;
      }
      const started = now();
      let status = 0;
      try {
        const answer = await call();
        status = answer.status;
        return answer;
      } finally {
        const milliseconds = now() - started;
        const failed = status === 0 || status === 429 || status >= 500;
        // Reading an existing user and a missing one cost differently.
        if (kind !== undefined) control.answered(failed ? kind : `${kind} ${status}`, failed ? Infinity : milliseconds);
        const limit = control.limit();
        if (limit < 1) restUntil = now() + Math.min(LONGEST_REST_MS, milliseconds * (1 / limit - 1));
        underWay -= 1;
        begin();
      }
    },
  };
}
