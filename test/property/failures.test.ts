import { describe, expect, test } from "vitest";
import { Failure } from "../../functions/core/failure.ts";
import { type PersonJob, replayOf } from "../../functions/core/job.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import type { Outcome } from "../../functions/provision/outcome.ts";
import type { Fault, FaultInjector, RecordedRequest } from "../../functions/simulated/server.ts";
import { runs, SEED } from "../support/chance.ts";
import { fc, salts } from "../support/fast-check.ts";
import { done } from "../support/jobs.ts";
import { IDENTITIES, type Tenant, useOrganizations } from "../support/organization.ts";
import { changes, inScene, type Mode, type Scene } from "./scene.ts";

const MODES: (Mode & { runs: number })[] = [
  { name: "with an API key, hashed ids", apiKey: true, hashed: true, runs: 60 },
  { name: "with an API key, raw ids", apiKey: true, hashed: false, runs: 60 },
  { name: "without an API key, raw ids", apiKey: false, hashed: false, runs: 30 },
];

/** What goes wrong in one attempt: the nth request to a server, or the nth call of the ledger, before or after its work. */
interface Trouble {
  where: "nextcloud" | "clavex" | "ledger";
  kind: "500" | "503" | "429" | "maintenance" | "reset" | "cut";
  nth: number;
  after: boolean;
}

/** One attempt: its trouble, in which container, and the change that the directory sees before the next attempt. */
const attempt = fc.record({
  trouble: fc.record({
    where: fc.constantFrom("nextcloud", "nextcloud", "clavex", "ledger"),
    kind: fc.constantFrom("500", "503", "429", "maintenance", "reset", "cut"),
    nth: fc.nat(5),
    after: fc.boolean(),
  }) satisfies fc.Arbitrary<Trouble>,
  container: fc.nat(1),
  meanwhile: fc.option(changes, { nil: undefined }),
});
/** Some changes, and the troubled attempts at the jobs about them; after these nothing goes wrong. */
const round = fc.record({
  first: fc.array(changes, { minLength: 2, maxLength: 5, size: "max" }),
  attempts: fc.array(attempt, { maxLength: 6, size: "max" }),
});
type Attempt = typeof attempt extends fc.Arbitrary<infer A> ? A : never;
type Round = typeof round extends fc.Arbitrary<infer R> ? R : never;

const FAULTS: Record<Trouble["kind"], Fault> = {
  "500": { kind: "status", status: 500 },
  "503": { kind: "status", status: 503, headers: { "retry-after": "5" } },
  "429": { kind: "status", status: 429, headers: { "content-type": "text/html" } },
  maintenance: { kind: "status", status: 503, headers: { "x-nextcloud-maintenance-mode": "1" } },
  reset: { kind: "reset" },
  cut: { kind: "cut" },
};

const RETRY_SECONDS = 61;
/** Longer than the five minutes in which a write that was not answered may still take effect. */
const UNANSWERED_SECONDS = 301;

/** One person alone meets as many failures in a row as park a job. */
const PARKED: [number, Round[]] = [
  13,
  [
    {
      first: [{ kind: "create", slot: 3, name: 0 }],
      attempts: Array.from({ length: 4 }, () => ({
        trouble: { where: "nextcloud", kind: "500", nth: 0, after: false },
        container: 0,
        meanwhile: undefined,
      })),
    },
  ],
];

describe("a failure at any request, before or after its work, and a retry of the same job lead to the same state", () => {
  test.each(MODES)("$name", async (mode) => {
    const counts = { people: 0, jobs: 0, attempts: 0, failed: 0 };
    await fc.assert(
      fc.asyncProperty(salts, fc.array(round, { minLength: 2, maxLength: 6, size: "max" }), async (salt, rounds) => {
        await inScene(mode, salt, async (scene) => {
          for (const { first, attempts } of rounds) {
            const jobs = first.flatMap((change) => scene.change(change));
            await work(scene, jobs, attempts, counts);
          }
          scene.checkConverged();
          counts.people += scene.people.length;
        });
      }),
      { numRuns: runs(mode.runs), examples: [PARKED] },
    );
    console.log(
      `failures ${mode.name}: seed ${SEED}, ${counts.people} people, ${counts.jobs} jobs, ${counts.attempts} attempts, ` +
        `${counts.failed} failed by injection`,
    );
  });
});

/** Works on jobs in order until all are done; each attempt meets the next trouble, while there are any. */
async function work(
  { tenant, change, checkForeign }: Scene,
  jobs: PersonJob[],
  attempts: Attempt[],
  counts: { jobs: number; attempts: number; failed: number },
): Promise<void> {
  const { clock } = tenant;
  const ledger = brittleLedger(tenant.ledger);
  const containers = [tenant.container({ ledger: ledger.brittle }), tenant.container({ ledger: ledger.brittle })];
  const queue = jobs.map((job) => ({ job, sentAt: clock.now }));
  const troubles = [...attempts];
  for (let next = queue.shift(); next; ) {
    const { trouble, container, meanwhile } = troubles.shift() ?? { trouble: undefined, container: 0 };
    if (trouble?.where === "ledger") ledger.breakAt(trouble.nth, trouble.after);
    else if (trouble) failNth(tenant[trouble.where].faults, trouble);
    counts.attempts += 1;
    let outcome: Outcome | undefined;
    let failure: unknown;
    try {
      outcome = await containers[container]?.(next.job, next.sentAt);
    } catch (error) {
      failure = error;
    }
    ledger.mend();
    tenant.nextcloud.faults.clear();
    tenant.clavex.faults.clear();
    checkForeign();
    if (failure === undefined) {
      counts.jobs += 1;
      if (outcome?.result === "parked" && /-fails$/.test(outcome.reason)) {
        // Whoever alone meets a 5xx four times in a row has data that the server does not bear; an operator replays their job.
        expect(["500", "503"]).toContain(trouble?.kind);
        queue.push({ job: replayOf(next.job), sentAt: clock.now });
      }
      next = queue.shift();
    } else {
      expect(failure, "only a Failure says what becomes of a job").toBeInstanceOf(Failure);
      // Without an API key a job waits for a write that was not answered; the next attempt is at it.
      const waits = failure instanceof Failure && failure.code === "write-unanswered";
      expect(waits || trouble !== undefined, `failed without any trouble: ${failure}`).toBe(true);
      counts.failed += 1;
      clock.now += (waits ? UNANSWERED_SECONDS : RETRY_SECONDS) * 1_000;
    }
    // What happens meanwhile comes after the job that failed, as in a FIFO queue.
    clock.now += 1_000;
    if (meanwhile) for (const job of change(meanwhile)) queue.push({ job, sentAt: clock.now });
    if (next === undefined) next = queue.shift();
  }
}

function failNth(faults: FaultInjector, { kind, nth, after }: Trouble): void {
  let left = nth;
  const match = (): boolean => left-- === 0;
  faults.add({ ...FAULTS[kind], after, times: 1, match });
}

/** A ledger whose nth call from now on fails, before or after its work: a crash in between looks the same. */
function brittleLedger(ledger: Ledger) {
  let left = Number.POSITIVE_INFINITY;
  let afterwards = false;
  const broken = (): never => {
    throw new LedgerUnavailable(new Error("injected"));
  };
  const wrap = <Store extends object>(store: Store): Store =>
    new Proxy(store, {
      get(target, name) {
        const method = Reflect.get(target, name) as (...values: unknown[]) => Promise<unknown>;
        return async (...values: unknown[]) => {
          const breaks = left-- === 0;
          if (breaks && !afterwards) broken();
          const result = await method(...values);
          return breaks ? broken() : result;
        };
      },
    });
  const { subjects, claims, deadLetters, brakes, locks, identities, pauses, runs, groups, edits, skeletons } = ledger;
  const brittle: Ledger = {
    subjects: wrap(subjects),
    claims: wrap(claims),
    deadLetters: wrap(deadLetters),
    brakes: wrap(brakes),
    locks: wrap(locks),
    identities: wrap(identities),
    pauses: wrap(pauses),
    runs: wrap(runs),
    groups: wrap(groups),
    edits: wrap(edits),
    skeletons: wrap(skeletons),
  };
  return {
    brittle,
    breakAt(nth: number, after: boolean) {
      [left, afterwards] = [nth, after];
    },
    mend() {
      left = Number.POSITIVE_INFINITY;
    },
  };
}

describe("crashes at the worst moment", () => {
  const { build } = useOrganizations();
  const eachJoin = (request: RecordedRequest) =>
    request.method === "POST" && /\/users\/[^/]+\/groups/.test(request.path);

  test("a membership of a local group that a Nextcloud administrator gave stays, whatever failed before", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const { nextcloud } = tenant;
    nextcloud.addGroup("board", "The board");
    const ada = tenant.person();
    await tenant.bring(ada);
    nextcloud.addMember("board", tenant.accountId(ada));
    tenant.assign(ada, "board", "eng");

    nextcloud.faults.add({ kind: "status", status: 500, match: eachJoin });
    await expect(tenant.bring(ada)).rejects.toThrow(/HTTP 500/);
    nextcloud.faults.clear();
    tenant.unassign(ada, "board");
    await tenant.bring(ada);
    expect(tenant.account(ada)?.groups).toEqual(["board", "eng"]);
  });

  test("a membership of a local group stays also when the retry still found the person in the Clavex group", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const { nextcloud } = tenant;
    nextcloud.addGroup("board", "The board");
    const ada = tenant.person();
    await tenant.bring(ada);
    nextcloud.addMember("board", tenant.accountId(ada));
    tenant.assign(ada, "board", "eng");

    nextcloud.faults.add({ kind: "status", status: 500, match: eachJoin });
    await expect(tenant.bring(ada)).rejects.toThrow(/HTTP 500/);
    nextcloud.faults.clear();
    await tenant.bring(ada);
    tenant.unassign(ada, "board");
    await tenant.bring(ada);
    expect(tenant.account(ada)?.groups).toEqual(["board", "eng"]);
  });

  test.each([
    IDENTITIES.hashed,
    IDENTITIES.raw,
  ])("a membership that was made just before a crash is left when the person and the Clavex group are gone from it ($uniqueUserIds)", async (identity) => {
    const tenant = await build({ identity });
    const ada = tenant.person({}, ["eng"]);
    // The join is done, the answer is lost, and the process with it: another container goes on.
    tenant.nextcloud.faults.add({ kind: "reset", after: true, times: 1, match: eachJoin });
    await expect(tenant.bring(ada)).rejects.toBeInstanceOf(Failure);
    expect(tenant.account(ada)?.groups).toEqual([tenant.groupId("eng")]);
    const { clavex, organization } = tenant;
    // An empty list of groups would not be believed.
    clavex.addGroup(organization.slug, "ops");
    clavex.deleteGroup(organization.slug, clavex.groupByName(organization.slug, "eng")?.id ?? "");
    await tenant.container()(tenant.job(ada, "replay"));
    expect(tenant.account(ada)?.groups).toEqual([]);
  });

  test("so is one in a local group that the organization adopts, and nobody else of that group is touched", async () => {
    const tenant = await build({ identity: IDENTITIES.raw, groups: { adopt: ["partners"] } });
    const { nextcloud } = tenant;
    nextcloud.addGroup("partners", "Partners");
    const [ada, grace] = [tenant.person({}, ["partners"]), tenant.person({}, ["partners"])];
    await tenant.bring(grace);
    nextcloud.addLocalUser({ id: "carol", groups: ["partners"] });
    tenant.unassign(grace, "partners");
    nextcloud.faults.add({ kind: "reset", after: true, times: 1, match: eachJoin });
    await expect(tenant.bring(ada)).rejects.toBeInstanceOf(Failure);
    tenant.unassign(ada, "partners");
    for (const person of [ada, grace]) await tenant.bring(person);
    expect(nextcloud.group("partners")?.members).toEqual(["carol"]);
  });

  test("a local group that appears between two attempts is not joined", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const { nextcloud, clock } = tenant;
    const ada = tenant.person({}, ["board"]);
    nextcloud.faults.add({ kind: "status", status: 500, times: 1, match: ({ path }) => path.includes("/user_oidc/") });
    await expect(tenant.bring(ada)).rejects.toThrow(/HTTP 500/);
    nextcloud.addGroup("board", "The board");
    clock.now += 30_000;
    expect(done(await tenant.bring(ada)).notes).toEqual([expect.stringContaining("group board is skipped")]);
    expect(nextcloud.group("board")?.members).toEqual([]);
  });
});

describe("many at the same time", () => {
  const { build } = useOrganizations();

  const readsGroup = (request: RecordedRequest) => request.method === "GET" && request.path.includes("/cloud/groups/");
  /** Looking at the group takes the second one so long that the first has made it meanwhile. */
  function secondLooksLate(tenant: Tenant): void {
    let looks = 0;
    tenant.nextcloud.faults.add({ kind: "slow", ms: 300, match: (request) => readsGroup(request) && ++looks === 2 });
  }

  test.each([
    "the same container",
    "two containers",
  ])("two people who bring a new group with a raw id both join it, worked on in %s", async (where) => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const people = [tenant.person({}, ["eng"]), tenant.person({}, ["eng"])];
    secondLooksLate(tenant);
    const one = tenant.container();
    const containers = [one, where === "two containers" ? tenant.container() : one];
    await Promise.all(people.map((person, index) => containers[index]?.(tenant.job(person))));
    expect(tenant.nextcloud.group("eng")?.members).toEqual(people.map(({ id }) => id).sort());
    const third = tenant.person({}, ["eng"]);
    await one(tenant.job(third));
    expect(tenant.account(third)?.groups).toEqual(["eng"]);
  });

  test.each([
    "hashed",
    "raw",
    "database",
  ] as const)("one job that two workers have at the same time makes one account (%s)", async (scheme) => {
    const tenant = await build({ identity: IDENTITIES[scheme] });
    const ada = tenant.person({}, ["eng", "ops"]);
    const before = tenant.nextcloud.users().length;
    const [one, two] = [tenant.container(), tenant.container()];
    const job = tenant.job(ada);
    const sentAt = tenant.clock.now;
    const results = await Promise.allSettled([one(job, sentAt), two(job, sentAt)]);
    for (const result of results) {
      if (result.status === "rejected") expect(result.reason).toMatchObject({ failureClass: "transient" });
    }
    tenant.clock.now += RETRY_SECONDS * 1_000;
    await two(job, sentAt);
    expect(tenant.nextcloud.users()).toHaveLength(before + 1);
    expect(tenant.account(ada)).toMatchObject({
      displayName: "Ada Lovelace",
      groups: [tenant.groupId("eng"), tenant.groupId("ops")].sort(),
      enabled: true,
    });
  });

  test("a core account that appears between looking and making it is found and finished in the same attempt", async () => {
    const tenant = await build({ identity: IDENTITIES.database });
    const ada = tenant.person({}, ["eng"]);
    const creates = (request: RecordedRequest) => request.method === "POST" && /\/cloud\/users\?/.test(request.path);
    // Made by somebody else in the meantime: the work is done, the answer says "exists already".
    const body = JSON.stringify({
      ocs: { meta: { status: "failure", statuscode: 102, message: "User already exists" } },
    });
    tenant.nextcloud.faults.add({ kind: "status", status: 400, body, after: true, times: 1, match: creates });
    expect(await tenant.bring(ada)).toMatchObject({ state: "active" });
    expect(tenant.account(ada)?.groups).toEqual(["eng"]);
  });
});
