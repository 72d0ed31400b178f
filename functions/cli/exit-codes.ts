/** What the exit code of a command says, for scripts. 0: done, and nothing that it looked for was found. */
export const EXIT = {
  /** It could not be done, or only in part. */
  failed: 1,
  /** `plan` found differences, `status` something that is not in sync, `dead-letters list` dead letters. */
  found: 2,
  /** A brake holds people. */
  held: 3,
  /** Ctrl-C. */
  interrupted: 130,
} as const;
