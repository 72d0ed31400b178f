import { describe, expect, it } from "vitest";
import type { RecordedRequest } from "../../functions/simulated/server.ts";
import { done, resultOf } from "../support/jobs.ts";
import { type Tenant, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

type Fields = Record<string, unknown>;

/** From now on the simulated Clavex shows these people with other fields, alone and in lists, or where `match` says. */
function disguise(
  tenant: Tenant,
  fields: Fields,
  people: { id: string }[],
  match = (_: RecordedRequest) => true,
): void {
  const ids = new Set(people.map(({ id }) => id));
  const disguised = (user: Fields): Fields => (ids.has(String(user.id)) ? { ...user, ...fields } : user);
  tenant.clavex.faults.add({
    kind: "changed",
    match: (request) => request.path.includes("/users") && match(request),
    change(answer) {
      const body = JSON.parse(answer.body ?? "null") as Fields & { items?: Fields[] };
      const changed = body.items ? { ...body, items: body.items.map(disguised) } : disguised(body);
      return { ...answer, body: JSON.stringify(changed) };
    },
  });
}

const ODD: [string, Record<string, unknown>][] = [
  ["metadata: []", { metadata: [] }],
  ["metadata: text", { metadata: "5 GB" }],
  ["email: null", { email: null }],
  ["email: a list", { email: ["ada@acme.example"] }],
  ["a year-10000 date", { updated_at: "10000-01-01T00:00:00Z" }],
  ["a date that is a number", { updated_at: 1_785_000_000 }],
  ["a name that is an object", { first_name: { given: "Ada" } }],
  ["a name that is a number", { last_name: 7 }],
  ["everything at once", { metadata: 1, email: false, first_name: [], last_name: {}, updated_at: null }],
];
const UNREADABLE: [string, Record<string, unknown>][] = [
  ["is_active: text", { is_active: "yes" }],
  ["is_active: null", { is_active: null }],
  ["org_id: a number", { org_id: 5 }],
];

async function company(): Promise<Company> {
  return withPipeline(await build({ quota: { default: "5 GB" } }));
}

describe("one user of Clavex's page has an odd field", () => {
  it.each(ODD)("%s: that user is reported and left as they are, the rest of the run goes on", async (_name, fields) => {
    const acme = await company();
    const [ada, grace, linus] = acme.people(3);
    if (!ada || !grace || !linus) throw new Error("three people");
    acme.clavex.setAttributes(acme.slug, ada.id, { nextcloud_quota: "7 GB" });
    await acme.settle();
    const before = acme.account(ada);
    disguise(acme, fields, [ada]);
    acme.clavex.suspend(acme.slug, grace.id);
    acme.clavex.deleteUser(acme.slug, linus.id);
    const { report } = await acme.full();
    const isReported = report.notes.some(({ subject, note }) => subject === ada.id && note.includes("cannot be read"));
    expect(isReported).toBe(true);
    await acme.work();
    expect(acme.account(ada)).toEqual(before);
    expect([acme.account(grace)?.enabled, acme.account(linus)?.enabled]).toEqual([false, false]);
    expect((await acme.look("full")).differences).toEqual([]);
    await acme.light();
    await acme.work();
    expect(acme.account(ada)).toEqual(before);
    expect(acme.lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  it.each(ODD)("%s: they are disabled all the same when they are suspended", async (_name, fields) => {
    const acme = await company();
    const ada = acme.person();
    await acme.settle();
    acme.clavex.suspend(acme.slug, ada.id);
    disguise(acme, fields, [ada]);
    await acme.light();
    await acme.work();
    expect(acme.account(ada)?.enabled).toBe(false);
  });

  it.each(UNREADABLE)("%s: that user is reported and parked, the rest goes on", async (_name, fields) => {
    const acme = await company();
    const [ada, grace] = acme.people(2);
    if (!ada || !grace) throw new Error("two people");
    await acme.settle();
    const before = acme.account(ada);
    disguise(acme, fields, [ada]);
    acme.clavex.suspend(acme.slug, grace.id);
    const { report } = await acme.full();
    expect(report.notes).toMatchObject([{ subject: ada.id, note: expect.stringContaining("cannot be read") }]);
    await acme.work();
    expect(acme.account(ada)).toEqual(before);
    expect(acme.account(grace)?.enabled).toBe(false);
    for (let attempt = 1; attempt < 4; attempt += 1)
      expect(await resultOf(acme.bring(ada))).toMatch(/^clavex-(user-unreadable|misrouted)$/);
    expect(await resultOf(acme.bring(ada))).toBe("parked");
    expect(await resultOf(acme.bring(acme.person()))).toBe("applied");
  });

  it("who has no readable id is reported, and whoever seems to be missing is asked for", async () => {
    const acme = await company();
    const [ada, grace] = acme.people(2);
    if (!ada || !grace) throw new Error("two people");
    await acme.settle();
    disguise(acme, { id: 20231234 }, [ada], ({ path }) => path.includes("/users?"));
    acme.clavex.suspend(acme.slug, grace.id);
    const { report } = await acme.full();
    expect(report.notes).toContainEqual({ subject: "unknown", note: "Clavex lists 1 person without a readable id" });
    await acme.work();
    expect([acme.account(ada)?.enabled, acme.account(grace)?.enabled]).toEqual([true, false]);
  });

  it.each([
    ...ODD,
    ...UNREADABLE.slice(0, 2),
  ])("%s: a 404 of somebody else is believed all the same", async (_name, fields) => {
    const acme = await company();
    const [ada, grace] = [acme.person({ email: "a@acme.example" }), acme.person({ email: "b@acme.example" })];
    await acme.settle();
    disguise(acme, fields, [ada]);
    acme.clavex.deleteUser(acme.slug, grace.id);
    expect(done(await acme.bring(grace))).toMatchObject({ state: "deleted", operations: ["disable"] });
  });

  it("on a page where nobody can be read, nobody is taken for gone", async () => {
    const acme = await company();
    const people = acme.people(2);
    await acme.settle();
    disguise(acme, { id: 5 }, people);
    expect(await acme.full()).toMatchObject({ held: { reason: "partial-read" }, report: { differences: [] } });
    expect(acme.sent).toEqual([]);
  });
});

describe("a page of Clavex", () => {
  it.each([
    ["a cursor of another type", { next_cursor: 7 }],
    ["no cursor at all", { next_cursor: undefined }],
    ["has_more of another type", { has_more: "true" }],
  ])("with %s is followed by the next one all the same", async (_name, fields) => {
    const acme = await company();
    acme.people(201);
    acme.clavex.faults.add({
      kind: "changed",
      match: ({ path }) => /\/users\?limit=200$/.test(path),
      change: (answer) => ({ ...answer, body: JSON.stringify({ ...JSON.parse(answer.body ?? ""), ...fields }) }),
    });
    expect((await acme.look("full")).people).toBe(201);
  });
});
