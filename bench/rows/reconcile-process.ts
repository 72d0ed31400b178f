import diagnostics from "node:diagnostics_channel";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createClients } from "../../functions/clients.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { openDatabase } from "../../functions/database.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { createReconcile } from "../../functions/reconcile/reconcile.ts";
import { type Roster, readRoster } from "../../functions/reconcile/roster.ts";
import { benchOrganization, benchSecrets } from "../organization.ts";
import { offer } from "../process.ts";
import { fillServers, readEverything } from "./reconcile-loop.ts";

/** Where the systems and the ledger are. */
export interface Place {
  servers: { clavex: string; nextcloud: string };
  stateFolder: string;
}

/**
 * How many times garbage is collected to see what is held: spread over the run, and as many in a row when the directory
 * has been read and nobody has been compared yet.
 */
const LOOKS = 8;
/** How many answers and pages there are to a person, about. */
const EVENTS_TO_A_PERSON = 0.04;

/** What is measured, alone in a process of its own that measures once. */
const services = {
  /**
   * A full reconciliation that finds nothing: how long it takes, how much of the processor, and the most memory that the
   * process had, garbage included.
   */
  async reconcile(place: Place) {
    const before = process.cpuUsage();
    const seconds = await timed(() => reconcile(place));
    const { user, system } = process.cpuUsage(before);
    return { seconds, cpuSeconds: (user + system) / 1e6, resident: process.resourceUsage().maxRSS * 1024 };
  },

  /** Lets the servers keep the answers that a full reconciliation reads. */
  fill: fillServers,

  /** The bare loop; returns its seconds. */
  loop: (place: Place, groupsAtOnce: number): Promise<number> => timed(() => readEverything(place, groupsAtOnce)),

  /** The most that a full reconciliation holds at a time, in bytes: what remains after a garbage collection. */
  async held(place: Place, people: number): Promise<number> {
    const start = heldNow();
    const every = Math.ceil((people * EVENTS_TO_A_PERSON) / LOOKS);
    let [events, row, most] = [0, 0, 0];
    const look = (): void => {
      events += 1;
      row -= 1;
      if (row > 0 || events % every === 0) most = Math.max(most, heldNow() - start);
    };
    // Answers before they are parsed, and pages while they are worked on.
    diagnostics.subscribe("undici:request:trailers", look);
    await reconcile(place, (phase, count) => {
      if (phase === "people in Clavex" && count === people) row = LOOKS;
      look();
    });
    return most;
  },

  /** What the directory itself takes, in bytes: what becomes free when it is dropped. */
  async directory(place: Place): Promise<number> {
    // In a separate function, so that its frame holds no references.
    const withRoster = await heldWithRoster(place);
    return withRoster - heldNow();
  },
};
export type ReconcileProcess = typeof services;

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

function heldNow(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** Does something with one connection to Nextcloud, as the function on Lambda has, and the ledger of one machine. */
async function withPipeline<T>(place: Place, work: (pipeline: ReturnType<typeof connect>) => Promise<T>): Promise<T> {
  const pipeline = connect(place);
  try {
    return await work(pipeline);
  } finally {
    await pipeline.clients.close();
    pipeline.database.close();
  }
}

function connect({ servers, stateFolder }: Place) {
  const database = openDatabase(stateFolder);
  return {
    organization: benchOrganization(servers),
    clients: createClients({ secrets: benchSecrets(), nextcloudConnections: 1 }),
    ledger: createLedger(sqliteTable(database)),
    database,
  };
}

const nothing = (): void => undefined;

function reconcile(place: Place, onProgress: (phase: string, count: number) => void = nothing): Promise<void> {
  return withPipeline(place, async ({ organization, clients, ledger }) => {
    const run = createReconcile({
      organizations: fixedOrganizations([organization]),
      clients,
      ledger,
      queue: { sendAll: async () => undefined },
      log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      counters: { count: nothing, measure: nothing, flush: nothing },
    });
    const completed = await run(organization.slug, "full", { onProgress });
    const report = completed.result === "done" && completed.report.mode === "full" ? completed.report : undefined;
    if (report?.accounts !== report?.people || report?.differences.length !== 0 || report.notes.length > 0) {
      throw new Error("not everybody's account is as it should be");
    }
  });
}

function read(place: Place): Promise<Roster> {
  return withPipeline(place, ({ organization, clients, ledger }) => {
    const { directory } = clients.of(organization);
    if (directory.mode === "snapshots") throw new Error("the organization has no API key");
    const sources = { ledger, directory: directory.directory, now: Date.now, onProgress: nothing };
    return readRoster(sources, organization);
  });
}

async function heldWithRoster(place: Place): Promise<number> {
  const roster = await read(place);
  const held = heldNow();
  const { users, known } = roster.counts;
  if (users !== known || roster.people.size !== users) throw new Error("not everybody is in the ledger");
  return held;
}

offer(services, async () => undefined);
