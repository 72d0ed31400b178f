/** A clock that tests move by setting `now`. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now: number;
  /** What it showed at a time of the real clock. */
  at(real: number): number;
}

/**
 * `still`: stands unless it is moved, and begins on a day in 2026. `running`: runs like the real one, for what carries real
 * times, such as a queue.
 */
export function createClock(kind: "still" | "running" = "still"): Clock {
  const first = { real: 0, shown: kind === "running" ? 0 : Date.UTC(2026, 6, 23, 8) };
  const steps = [first];
  const at = (real: number): number => {
    const step = steps.findLast((each) => each.real <= real) ?? first;
    return step.shown + (kind === "running" ? real - step.real : 0);
  };
  return {
    at,
    get now() {
      return at(Date.now());
    },
    set now(shown) {
      steps.push({ real: Date.now(), shown });
    },
  };
}
