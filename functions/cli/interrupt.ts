import { EXIT } from "./exit-codes.ts";

/** Ctrl-C, for commands that wait: the first one ends the wait and sets the exit code, a second one ends the process at once. */
export interface Interrupt {
  signal: AbortSignal;
  /** From now on Ctrl-C does what it does without a handler. */
  end(): void;
}

export function onInterrupt(): Interrupt {
  const pressed = new AbortController();
  const press = (): void => {
    process.exitCode = EXIT.interrupted;
    pressed.abort();
  };
  process.once("SIGINT", press);
  return { signal: pressed.signal, end: () => void process.removeListener("SIGINT", press) };
}
