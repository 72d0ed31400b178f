import { type ChildProcess, fork } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { documentOf, environmentOf } from "../core/organization.ts";
import { randomNumbers } from "../support/chance.ts";
import { oddField } from "../support/odd-answers.ts";
import { ROOT, WORKING_FOLDER } from "../support/processes.ts";
import { signed } from "../support/requests.ts";
import { ORGANIZATION, openSoak, SLUG, type Soak } from "./soak-processes.ts";

/** A quarter of a day with every test run; a week: `CLAVEX_NEXTCLOUD_SOAK_DAYS=7 npx vitest run test/e2e/soak-week.test.ts`. */
const DAYS = Number(process.env.CLAVEX_NEXTCLOUD_SOAK_DAYS ?? 0.25);
const STEP_MS = 10 * 60_000;
const STEPS_A_DAY = 144;
const PEOPLE = 200;
const GROUPS = 10;
const MIB = 1024 ** 2;
const accountId = (subject: string): string => createHash("sha256").update(`1_0_${subject}`).digest("hex");

const random = randomNumbers();
const below = (limit: number): number => Math.floor(random() * limit);

interface Answer {
  result: string;
  rss: number;
  heapUsed: number;
  lines: number;
}

let soak: Soak;
let child: ChildProcess;
let url: string;

beforeEach(async () => {
  soak = await openSoak();
  const { clavex, nextcloud, stateFolder } = soak;
  const settings = {
    stateFolder,
    secrets: environmentOf(nextcloud.password, SLUG),
    organization: documentOf({ slug: SLUG, organizationId: ORGANIZATION }, { clavex, nextcloud }),
  };
  child = fork(join(ROOT, "test/e2e/soak-week-pipeline.ts"), {
    cwd: WORKING_FOLDER,
    env: { PATH: process.env.PATH, SOAK: JSON.stringify(settings) },
    // The heap that the systemd unit and the container give it.
    execArgv: ["--expose-gc", "--max-old-space-size=256"],
  });
  [{ url }] = await once(child, "message");
});
afterEach(async () => {
  const ended = once(child, "exit");
  child.disconnect();
  await ended;
  await soak.close();
});

async function step(order: { later: number; run: "light" | "full" }): Promise<Answer> {
  const settled = new AbortController();
  const { signal } = settled;
  child.send(order);
  const [answer] = await Promise.race([
    once(child, "message", { signal }),
    once(child, "exit", { signal }).then(() => []),
  ]).finally(() => settled.abort());
  if (answer === undefined) throw new Error("the pipeline has ended");
  // Recorded requests would be the simulators' memory, not the pipeline's.
  for (const { requests } of [soak.clavex, soak.nextcloud]) requests.length = 0;
  return answer;
}

test(`${DAYS} simulated days of deliveries, reconciliations, outages and odd answers lose nothing, leave no leaver enabled, and leave the resident memory flat`, {
  timeout: 120_000 + DAYS * 300_000,
}, async () => {
  const { clavex, nextcloud } = soak;
  const groups = Array.from({ length: GROUPS }, (_, index) => clavex.addGroup(SLUG, `Group ${index}`).id);
  const people = Array.from({ length: PEOPLE }, (_, index) =>
    clavex.addUser(SLUG, { email: `p${index}@acme.example`, first_name: "P", last_name: String(index) }),
  );
  const post = async (init: RequestInit): Promise<number> => {
    const answer = await fetch(`${url}/webhooks/clavex/${SLUG}`, init);
    await answer.arrayBuffer();
    return answer.status;
  };
  await step({ later: 0, run: "full" });

  const steps = Math.round(DAYS * STEPS_A_DAY);
  const answers: Answer[] = [];
  let [deliveries, odd] = [0, 0];
  const left = new Set<string>();
  for (let index = 1; index <= steps; index += 1) {
    for (let changes = below(4); changes > 0; changes -= 1) {
      const { id } = people[below(PEOPLE)] ?? expect.fail();
      const changed = clavex.updateUser(SLUG, id, { last_name: randomUUID() });
      const body = JSON.stringify(clavex.delivery("user.updated", changed));
      for (let times = below(8) === 0 ? 2 : 1; times > 0; times -= 1) expect(await post(signed(body))).toBe(202);
      deliveries += 1;
    }
    // Found by the reconciliation alone.
    const [member, group] = [people[below(PEOPLE)]?.id ?? "", groups[below(GROUPS)] ?? ""];
    if (below(2) === 0) clavex.addMember(SLUG, group, member);
    else clavex.removeMember(SLUG, group, member);
    expect(await post({ method: "POST", body: "x".repeat(1000) })).toBe(401);
    if (below(12) === 0) nextcloud.faults.add({ kind: "status", status: 503, times: 3 });
    if (below(12) === 0) clavex.faults.add({ kind: "reset", times: 1 });
    // Two in an hour: the brake, which is another test's, lets ten pass.
    if (below(3) === 0) {
      const { id } = people[below(PEOPLE)] ?? expect.fail();
      const suspended = clavex.suspend(SLUG, id);
      left.add(id);
      // Who is not heard of is found by the reconciliation.
      if (below(2) === 0)
        expect(await post(signed(JSON.stringify(clavex.delivery("user.updated", suspended))))).toBe(202);
    }
    for (const { faults } of [clavex, nextcloud]) {
      if (below(2) === 0) continue;
      odd += 1;
      faults.add({ ...oddField({ field: below(1_000), value: below(100) }), times: 1 });
    }
    answers.push(await step({ later: STEP_MS, run: index % STEPS_A_DAY === 0 ? "full" : "light" }));
  }

  for (const { faults } of [clavex, nextcloud]) faults.clear();
  for (const run of ["full", "full"] as const)
    expect(await step({ later: STEP_MS, run })).toMatchObject({ result: "done" });
  const shown = (id: string) => nextcloud.user(accountId(id));
  const lost = people.filter(
    ({ id }) => !left.has(id) && shown(id)?.displayName !== `P ${clavex.user(SLUG, id)?.last_name}`,
  );
  const enabled = [...left].filter((id) => shown(id)?.enabled);

  const mean = (part: Answer[], of: "rss" | "heapUsed"): number =>
    part.reduce((sum, answer) => sum + answer[of], 0) / part.length / MIB;
  const quarter = (number: number): Answer[] => answers.slice((number * steps) / 4, ((number + 1) * steps) / 4);
  const rows = [0, 1, 2, 3].map(
    (number) =>
      `  quarter ${number + 1}: resident ${mean(quarter(number), "rss").toFixed(1)} MiB, heap ${mean(quarter(number), "heapUsed").toFixed(1)} MiB`,
  );
  console.log(
    [
      `soak: ${DAYS} days, ${PEOPLE} people, ${steps} reconciliations, ${deliveries} deliveries, ${answers.at(-1)?.lines} log lines`,
      `  ${odd} odd answers, ${left.size} leavers: lost = ${lost.length}, leavers enabled = ${enabled.length}`,
      ...rows,
    ].join("\n"),
  );
  expect(lost).toEqual([]);
  expect(enabled).toEqual([]);
  // The first quarter compiles and fills caches.
  expect(mean(quarter(3), "heapUsed")).toBeLessThan(mean(quarter(1), "heapUsed") * 1.1 + 2);
  expect(mean(quarter(3), "rss")).toBeLessThan(mean(quarter(1), "rss") * 1.15);
});
