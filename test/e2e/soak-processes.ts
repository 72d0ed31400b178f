import { type Program, run } from "../support/processes.ts";

/** mulberry32: the same numbers for the same seed. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A log line of the pipeline. */
interface Line {
  message?: string;
  deliveryId?: string;
  result?: string;
  attempt?: number;
  ready?: string;
}

/** The pipeline of `soak-pipeline.ts`, one process after the other on the same state folder. */
export class PipelineProcesses {
  url = "";
  readonly #environment: Record<string, string>;
  readonly #programs: Program[] = [];

  constructor(settings: object) {
    this.#environment = { SOAK: JSON.stringify(settings) };
  }

  async start(): Promise<void> {
    const program = run("test/e2e/soak-pipeline.ts", [], this.#environment);
    this.#programs.push(program);
    const [text = ""] = await program.printed(/^\{"ready":.*\}$/m);
    this.url = (JSON.parse(text) as Line).ready ?? "";
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#programs.at(-1)?.kill(signal);
    await this.#programs.at(-1)?.ended;
  }

  /** What all of them have logged. A line that a kill has cut is none. */
  lines(): Line[] {
    return this.#programs.flatMap((program) =>
      program
        .output()
        .split("\n")
        .flatMap((text) => {
          try {
            return [JSON.parse(text) as Line];
          } catch {
            return [];
          }
        }),
    );
  }
}
