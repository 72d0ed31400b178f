/** The state of a step: nothing to do, something to do, or something that only a person can do. */
export type Inspection =
  | { state: "done"; what?: string }
  | { state: "to do"; what: string }
  | { state: "by hand"; lines: string[] };

/** One thing that setup does. */
export interface Step {
  title: string;
  /** What is left to do by hand has to be done before any other step can be. */
  first?: true;
  /** It looks at what `occ` changes, which reaches the web server some seconds later: what is not done is looked at again. */
  settles?: true;
  /** Looks, without changing anything. */
  inspect(): Promise<Inspection>;
  /** Does what `inspect` found to do. Returns what is left to do by hand, if anything. */
  apply(): Promise<string[]>;
  /** Undoes what an earlier `apply` created; returns what that was, or undefined when it created nothing. */
  undo(): Promise<string | undefined>;
}

export const done = (what?: string): Inspection => ({ state: "done", ...(what === undefined ? {} : { what }) });
export const toDo = (what: string): Inspection => ({ state: "to do", what });
export const byHand = (...lines: string[]): Inspection => ({ state: "by hand", lines });
