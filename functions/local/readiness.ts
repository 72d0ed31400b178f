import type { Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import { Failure } from "../core/failure.ts";
import type { LastRuns } from "../core/schedule.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Circuit, Guards } from "../provision/guards.ts";

export interface ReadinessSources {
  organizations: Organizations;
  secrets: Secrets;
  ledger: Pick<Ledger, "runs" | "pauses">;
  guards: Pick<Guards, "circuits">;
  /** Writes to the state file, where queue and ledger are. */
  probe: () => Promise<void>;
}

/** Whether deliveries can be accepted, and how each organization is. */
export interface Readiness {
  ready: boolean;
  /** One for what keeps deliveries out, then one per organization. */
  lines: string[];
}

/**
 * Ready is who can accept a delivery: the state file can be written, and some organization's webhook secrets can be read. A
 * server that is away only degrades its organizations: deliveries are queued. Uses what is known, and sends no request.
 */
export async function readiness(sources: ReadinessSources): Promise<Readiness> {
  const lines: string[] = [];
  const state = await problemOf(sources.probe());
  if (state !== undefined) lines.push(`not ready: ${state}`);
  const slugs = await sources.organizations.slugs();
  const looks = await Promise.all(slugs.map((slug) => look(slug, sources)));
  const isDeaf = looks.some(({ hears }) => hears === "no") && !looks.some(({ hears }) => hears === "yes");
  if (isDeaf) lines.push("not ready: no organization's webhook secrets can be read");
  for (const [index, slug] of slugs.entries()) {
    const problem = looks[index]?.problem;
    const state = problem === undefined ? "ok" : `degraded: ${problem.replaceAll(/\s+/g, " ")}`;
    const paused = (await sources.ledger.pauses.get(slug))?.paused ? " (paused)" : "";
    lines.push(`${slug} ${state}${paused}`);
  }
  return { ready: state === undefined && !isDeaf, lines };
}

/** `hears`: whether its deliveries can be verified; `never` where none are configured. */
interface Look {
  hears: "yes" | "no" | "never";
  problem: string | undefined;
}

async function look(slug: string, sources: ReadinessSources): Promise<Look> {
  const { organizations, secrets, guards, ledger } = sources;
  let problem: string | undefined;
  const organization = await organizations.get(slug).catch((error) => {
    problem = messageOf(error);
    return undefined;
  });
  if (!organization) return { hears: "no", problem };
  const deaf = await problemOf(secrets.webhook(organization));
  const hears = organization.clavex.webhookSecrets.length === 0 ? "never" : deaf === undefined ? "yes" : "no";
  problem = deaf ?? (await circuitProblem(guards.circuits(slug)));
  // Without an API key nothing is reconciled.
  if (organization.clavex.apiKey !== undefined) problem ??= runProblem(await ledger.runs.of(slug));
  return { hears, problem };
}

async function circuitProblem(circuits: Promise<Circuit[]>): Promise<string | undefined> {
  try {
    return (await circuits).find(({ failure }) => failure !== undefined)?.failure?.message;
  } catch (error) {
    return messageOf(error);
  }
}

function runProblem(runs: LastRuns): string | undefined {
  for (const kind of ["full", "light", "watch"] as const) {
    const { result = "done" } = runs[kind] ?? {};
    if (result !== "done") return `the last ${kind} run failed: ${result}`;
  }
  return undefined;
}

async function problemOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  if (error instanceof Failure) return error.message;
  throw error;
}
