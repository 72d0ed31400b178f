/**
 * One cold start: imports a function's bundle and runs its handler once, as Lambda would. The first argument is the bundle's
 * address, the second the event as JSON; the parent gets a `ColdStart`.
 */
export interface ColdStart {
  importMs: number;
  /** The CPU time of the import. */
  importCpuMs: number;
  /** The time of the first invocation, after the import. */
  requestMs: number;
  /** What the handler returned. */
  answer: unknown;
}

const REMAINING_MS = 300_000;

const [, , file = "", event = ""] = process.argv;
const context = { functionName: process.env.AWS_LAMBDA_FUNCTION_NAME, getRemainingTimeInMillis: () => REMAINING_MS };
const input: unknown = JSON.parse(event);

const started = performance.now();
const cpu = process.cpuUsage();
const { handler } = await import(file);
const imported = performance.now();
const { user, system } = process.cpuUsage(cpu);
const answer: unknown = await handler(input, context);
const answered = performance.now();

const coldStart: ColdStart = {
  importMs: imported - started,
  importCpuMs: (user + system) / 1000,
  requestMs: answered - imported,
  answer,
};
process.send?.(coldStart, () => process.exit());
