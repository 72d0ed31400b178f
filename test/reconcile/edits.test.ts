import { describe, expect, test } from "vitest";
import { DEFAULT_INTERVALS, TICK_MS } from "../../functions/core/schedule.ts";
import { createReport, createTick } from "../../functions/reconcile/tick.ts";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";
import { short } from "../support/requests.ts";

const { build } = useOrganizations();
const GB = 1024 ** 3;

/** The company's ticks without any run. */
const tickOf = (company: Company) =>
  createTick({
    ...company.dependencies,
    intervals: DEFAULT_INTERVALS,
    report: createReport(company.dependencies),
    run: async () => undefined,
  });

/** A company whose people have all logged in and then get another quota, which is sent as far as Nextcloud takes it. */
async function grown(size: number, version: 27 | 34 = 34): Promise<{ company: Company; people: ClavexUser[] }> {
  const company = withPipeline(await build({ version, quota: { default: "5 GB" } }));
  const people = company.people(size);
  await company.settle();
  for (const person of people) company.logIn(person);
  company.configure({ quota: { default: "6 GB" } });
  await company.light();
  await company.work();
  return { company, people };
}

const written = (company: Company, people: ClavexUser[]): number =>
  people.filter((person) => company.account(person)?.quota === 6 * GB).length;
const limited = (company: Company): number =>
  company.nextcloud.requests.filter((request) => ["PUT user", "PATCH user"].includes(short(request).name)).length;

describe("edits that wait", () => {
  test.each([
    27, 34,
  ] as const)("are sent by the ticks as slots become free, until all are written (%d)", async (version) => {
    const { company, people } = await grown(65, version);
    const tick = tickOf(company);
    expect(written(company, people)).toBe(50);
    const counts: number[] = [];
    for (let minute = 1; minute <= 12; minute += 1) {
      company.clock.now += TICK_MS;
      await tick();
      await company.attempt();
      counts.push(written(company, people));
    }
    expect(new Set(counts)).toEqual(new Set([50, 65]));
    // Nobody met a 429: each edit that was sent was written, but for the first four, which find that there is no PATCH.
    expect(limited(company)).toBeLessThanOrEqual(65 + (version === 27 ? 4 : 0));
    expect(company.lines.filter(({ level }) => level === "error")).toEqual([]);
    for (const person of people) expect((await company.record(person))?.pendingEdit).toBeUndefined();
    await expect(company.ledger.edits.waiting(company.slug).next()).resolves.toMatchObject({ value: [] });
  });

  test("are not sent twice while their jobs wait in the queue", async () => {
    const { company } = await grown(54);
    company.clock.now += 11 * TICK_MS;
    company.sent.length = 0;
    const tick = tickOf(company);
    await tick();
    company.clock.now += TICK_MS;
    await tick();
    expect(company.sent).toHaveLength(4);
  });

  test("are no difference that a run sends jobs for, and plan still shows them", async () => {
    const { company } = await grown(53);
    company.sent.length = 0;
    const full = await company.full();
    expect(full).toMatchObject({ sent: 0, waiting: 3 });
    expect((await company.light()).sent).toBe(0);
    expect((await company.look("full")).differences).toHaveLength(3);
  });

  test("of people who need none any more are struck out, also where a process was killed between two writes", async () => {
    const { company, people } = await grown(51);
    const [one] = people.filter((person) => company.account(person)?.quota !== 6 * GB) as [ClavexUser];
    company.clavex.suspend(company.slug, one.id);
    await company.bring(one);
    const waiting = async () => (await company.ledger.edits.waiting(company.slug).next()).value;
    expect(await waiting()).toEqual([]);
    await company.ledger.edits.wait(company.slug, { subject: one.id, sentAt: undefined });
    company.clock.now += 11 * TICK_MS;
    company.sent.length = 0;
    await tickOf(company)();
    expect(await waiting()).toEqual([]);
    expect(company.sent).toEqual([]);
  });
});
