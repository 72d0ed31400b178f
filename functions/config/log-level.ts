/** From the most talkative to the most silent. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** How much is logged: lines of this level and of those after it. */
export type LogLevel = (typeof LOG_LEVELS)[number];
