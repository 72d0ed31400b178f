import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClients } from "../../functions/clients.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { organizationSchema } from "../../functions/core/organization.ts";
import { openState } from "../../functions/local/state.ts";
import { type CompletedRun, createReconcile } from "../../functions/reconcile/reconcile.ts";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { apiKeyOf, type Choices, documentOf, environmentOf } from "../core/organization.ts";
import { type Program, run } from "../support/processes.ts";
import { signed } from "../support/requests.ts";

export const SLUG = "acme";
export const ORGANIZATION = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";

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

  /** @param ahead how many milliseconds its clock is ahead of ours; behind, if it is negative */
  async start(ahead = 0): Promise<void> {
    const program = run("test/e2e/soak-pipeline.ts", [], { ...this.#environment, AHEAD: String(ahead) });
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

/** One organization between simulated servers, with its pipeline in processes that can be killed. */
export interface Soak {
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  stateFolder: string;
  pipeline: PipelineProcesses;
  /** Posts a delivery until it is accepted, as Clavex tries again when it is not. Returns the delivery's id. */
  post(body: string): Promise<string>;
  /** A full run that has to come to its end, in this process; its jobs are left to the pipeline. */
  fullRun(): Promise<CompletedRun>;
  close(): Promise<void>;
}

const nothing = (): void => undefined;
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const UNCOUNTED = { count: nothing, measure: nothing, flush: nothing };

/** Starts the servers; the test starts the pipeline. */
export async function openSoak(choices: Choices = {}): Promise<Soak> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const stateFolder = join(folder, "state");
  const clavex = await startSimulatedClavex({
    organizations: [{ id: ORGANIZATION, slug: SLUG, apiKey: apiKeyOf(SLUG) }],
  });
  const nextcloud = await startSimulatedNextcloud();
  const secrets = environmentOf(nextcloud.password, SLUG);
  const organization = documentOf({ ...choices, slug: SLUG, organizationId: ORGANIZATION }, { clavex, nextcloud });
  const pipeline = new PipelineProcesses({ stateFolder, secrets, organization });
  return {
    clavex,
    nextcloud,
    stateFolder,
    pipeline,
    async post(body) {
      for (;;) {
        const url = `${pipeline.url}/webhooks/clavex/${SLUG}`;
        // As Clavex gives up after ten seconds. While none of ours listens, somebody else may on that port.
        const answer = await fetch(url, { ...signed(body), signal: AbortSignal.timeout(10_000) }).catch(
          () => undefined,
        );
        await answer?.text().catch(() => undefined);
        if (answer?.status === 202) return (JSON.parse(body) as { id: string }).id;
        await sleep(20);
      }
    },
    async fullRun() {
      const { ledger, queue, close } = openState(stateFolder);
      const clients = createClients({ secrets: environmentSecrets(secrets), nextcloudConnections: 4 });
      try {
        const run = await createReconcile({
          organizations: fixedOrganizations([organizationSchema.parse(organization)]),
          clients,
          ledger,
          queue,
          log: SILENT,
          counters: UNCOUNTED,
        })(SLUG, "full");
        if (run.result !== "done") throw new Error(`the run is ${run.result}`);
        return run;
      } finally {
        await clients.close();
        close();
      }
    },
    async close() {
      await pipeline.end("SIGKILL");
      await clavex.close();
      await nextcloud.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
