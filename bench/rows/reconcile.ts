import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Remote, startProcess } from "../process.ts";
import type { BenchOptions, Result } from "../report.ts";
import type { Place, ReconcileProcess } from "./reconcile-process.ts";
import type { ReconcileSystems } from "./reconcile-systems.ts";

const [SMALL, LARGE] = [10_000, 100_000];
const MEGABYTE = 1024 ** 2;
const AT_MOST = {
  seconds: 6,
  growthOfTime: 1.2,
  growthOfMemory: 2,
  ofTheDirectory: 1.15,
  residentMegabytes: 400,
  oneAfterTheOther: 0.6,
};
/** How long each answer takes where servers are slow, and how many groups are read at a time there, as the directory's client does. */
const SLOW = { ms: 60, groupsAtOnce: 4 };
/** The flags of deploy/one-machine/. */
const AS_DEPLOYED = ["--max-old-space-size=256", "--max-semi-space-size=16"];

/** What was measured with this many people. Memory is in bytes. */
interface Measured {
  people: number;
  seconds: number;
  /** Of the processor. */
  cpuSeconds: number;
  loopSeconds: number;
  clavexRequests: number;
  nextcloudRequests: number;
  resident: number;
}

interface Memory {
  held: number;
  directory: number;
}

/**
 * Row 4: a full reconciliation where nobody's account differs, of organizations of two sizes; each person has two groups,
 * an account and an entry in the ledger, which is that of one machine. Both servers answer from memory and take next to no time (a
 * real Nextcloud takes 4.5 ms for each account), so that our own time shows.
 *
 * - Time, against a bare loop that reads the same pages, one by one, parses their JSON and drops them; and the time
 *   per person of the large against that of the small one, which is 1 when time grows with the people and no faster.
 * - Memory, as what is held: the heap after a collection of garbage, at its peak; looked at when answers have come and while
 *   pages are worked on, all over the run and above all when the directory has been read and nobody has been compared yet. The directory itself is what describes the people (Clavex users, their groups, ledger
 *   entries, as reconciliation holds them): what becomes free when it is dropped, in a process that has read nothing else.
 *   What a run holds beyond it should not grow with the people. How much garbage there is besides depends on when V8 collects
 *   it: `resident`, the most memory that the process ever had of the machine, shows it.
 * - Reading ahead: the small organization once more, where every answer of both servers takes a while; the bare loop reads one
 *   list after the other there, and the members of some groups at a time.
 *
 * Clients, ledger, and each measurement are processes of their own; time and resident memory are those with the flags of the service on
 * one machine.
 */
export async function reconcile({ onProgress }: BenchOptions): Promise<Result[]> {
  await using opened = new AsyncDisposableStack();
  const settled = async (people: number) => opened.use(await settle(people, onProgress));
  const smallPlace = await settled(SMALL);
  const small = await measureBoth(SMALL, smallPlace);
  const [slow, largePlace] = await measureSlow(smallPlace, () => settled(LARGE));
  const large = await measureBoth(LARGE, largePlace);
  return [
    ...[small, large].map(timeLine),
    secondsLine(large),
    growthOfTime(small, large),
    slowLine(slow),
    residentLine(large),
    memoryLine(small, large),
    directoryLine(large),
  ];
}

interface Running extends Place {
  systems: Remote<ReconcileSystems>;
}

/** Opens systems and a ledger in which this many people are in sync. */
async function settle(people: number, onProgress: BenchOptions["onProgress"]): Promise<Running & AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  const stateFolder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-bench-"));
  opened.defer(() => rm(stateFolder, { recursive: true }));
  const systems = startProcess<ReconcileSystems>("rows/reconcile-systems.ts");
  opened.defer(() => systems.stop());
  const servers = await systems.open();
  await systems.settle(people, stateFolder);
  const place = { stateFolder, servers };
  // From then on the servers answer from memory.
  await fresh((process) => process.fill(place, SLOW.groupsAtOnce));
  await systems.requests();
  onProgress(`${count(people)} people are settled`);
  const open = opened.move();
  return { ...place, systems, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** Measures in a fresh process. */
async function fresh<T>(measure: (process: Remote<ReconcileProcess>) => Promise<T>, flags: string[] = []): Promise<T> {
  const process = startProcess<ReconcileProcess>("rows/reconcile-process.ts", flags);
  try {
    return await measure(process);
  } finally {
    await process.stop();
  }
}

async function measureTime(people: number, { systems, ...place }: Running): Promise<Measured> {
  const loopSeconds = await fresh((process) => process.loop(place, 1), AS_DEPLOYED);
  const loop = await systems.requests();
  const run = await fresh((process) => process.reconcile(place), AS_DEPLOYED);
  const { clavex: clavexRequests, nextcloud: nextcloudRequests } = await systems.requests();
  if (loop.clavex !== clavexRequests || loop.nextcloud !== nextcloudRequests) {
    throw new Error("the bare loop does not read what reconciliation reads");
  }
  return { people, loopSeconds, ...run, clavexRequests, nextcloudRequests };
}

/** Where each answer takes a while: seconds of the bare loop, and of a reconciliation. */
interface Slow {
  loopSeconds: number;
  seconds: number;
}

/** @param meanwhile work that is done beside the loop, which hardly does any: it waits */
async function measureSlow<T>(
  { systems, ...place }: Running,
  meanwhile: () => Promise<T>,
): Promise<[slow: Slow, done: T]> {
  await systems.delay(SLOW.ms);
  try {
    const loop = fresh((process) => process.loop(place, SLOW.groupsAtOnce));
    const [loopSeconds, done] = await Promise.all([loop, meanwhile()]);
    const { seconds } = await fresh((process) => process.reconcile(place));
    return [{ loopSeconds, seconds }, done];
  } finally {
    await systems.delay(0);
  }
}

async function measureBoth(people: number, running: Running): Promise<Measured & Memory> {
  const time = await measureTime(people, running);
  const { systems: _, ...place } = running;
  // Side by side: how much memory is held does not depend on how long that takes.
  const [directory, held] = await Promise.all([
    fresh((process) => process.directory(place)),
    fresh((process) => process.held(place, people)),
  ]);
  return { ...time, directory, held };
}

function timeLine(measured: Measured): Result {
  const { people, seconds, cpuSeconds, loopSeconds, clavexRequests, nextcloudRequests, resident } = measured;
  return {
    row: "reconcile",
    measured: `${count(people)} people, no drift`,
    figures:
      `${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of CPU, ${count(clavexRequests)} requests to Clavex, ${count(nextcloudRequests)} to Nextcloud ` +
      `(which take no time), ${megabytes(resident)} resident`,
    baseline: `bare loop, same pages: ${loopSeconds.toFixed(2)} s`,
    ratio: seconds / loopSeconds,
    numbers: { ...measured },
  };
}

function secondsLine({ people, seconds }: Measured): Result {
  return {
    row: "reconcile",
    measured: `time, ${count(people)} people`,
    figures: `${seconds.toFixed(2)} s`,
    baseline: `${AT_MOST.seconds} s`,
    ratio: seconds / AT_MOST.seconds,
    target: { atMost: 1 },
    numbers: { seconds, baseline: AT_MOST.seconds },
  };
}

function slowLine({ seconds, loopSeconds }: Slow): Result {
  return {
    row: "reconcile",
    measured: `${count(SMALL)} people, each answer takes ${SLOW.ms} ms`,
    figures: `${seconds.toFixed(2)} s, both sides at once, one page ahead`,
    baseline: `bare loop, one list after the other, members of ${SLOW.groupsAtOnce} groups at a time: ${loopSeconds.toFixed(2)} s`,
    ratio: seconds / loopSeconds,
    target: { atMost: AT_MOST.oneAfterTheOther },
    numbers: { seconds, loopSeconds },
  };
}

function residentLine({ people, resident }: Measured): Result {
  const most = AT_MOST.residentMegabytes * MEGABYTE;
  return {
    row: "reconcile",
    measured: `resident memory, ${count(people)} people`,
    figures: megabytes(resident),
    baseline: megabytes(most),
    ratio: resident / most,
    target: { atMost: 1 },
    numbers: { resident, baseline: most },
  };
}

function growthOfTime(small: Measured, large: Measured): Result {
  const perPerson = ({ seconds, people }: Measured): number => (seconds / people) * 1_000_000;
  const [ours, before] = [perPerson(large), perPerson(small)];
  return {
    row: "reconcile",
    measured: `time per person, ${count(large.people)} people`,
    figures: `${ours.toFixed(0)} µs`,
    baseline: `${count(small.people)} people: ${before.toFixed(0)} µs`,
    ratio: ours / before,
    target: { atMost: AT_MOST.growthOfTime },
    numbers: { microseconds: ours, baseline: before },
  };
}

function memoryLine(small: Measured & Memory, large: Measured & Memory): Result {
  const beyond = ({ held, directory }: Memory): number => held - directory;
  return {
    row: "reconcile",
    measured: `held beyond the directory, ${count(large.people)} people`,
    figures: `${megabytes(beyond(large))}, of ${megabytes(large.held)} at the peak`,
    baseline: `${count(small.people)} people: ${megabytes(beyond(small))}, of ${megabytes(small.held)}`,
    ratio: beyond(large) / beyond(small),
    target: { atMost: AT_MOST.growthOfMemory },
    numbers: { beyond: beyond(large), baseline: beyond(small) },
  };
}

function directoryLine({ people, held, directory }: Measured & Memory): Result {
  return {
    row: "reconcile",
    measured: `held at the peak, ${count(people)} people`,
    figures: `${megabytes(held)}, ${count(Math.round(held / people))} bytes per person`,
    baseline: `the directory itself: ${megabytes(directory)}`,
    ratio: held / directory,
    target: { atMost: AT_MOST.ofTheDirectory },
    numbers: { held, directory },
  };
}

const count = (number: number): string => number.toLocaleString("en");
const megabytes = (bytes: number): string => `${(bytes / MEGABYTE).toFixed(1)} MB`;
