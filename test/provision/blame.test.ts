import { describe, expect, it } from "vitest";
import type { Fault, RecordedRequest } from "../../functions/simulated/server.ts";
import { done, resultOf } from "../support/jobs.ts";
import { IDENTITIES, OPEN_SECONDS, type Tenant, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";
import { named, short } from "../support/requests.ts";

const { build } = useOrganizations();

const writes = ({ method }: RecordedRequest): boolean => method !== "GET";
const about = (tenant: Tenant, person: { id: string }) => {
  const ids = [person.id, tenant.accountId(person)];
  return (request: RecordedRequest): boolean =>
    ids.some((id) => request.path.includes(id) || Object.values(short(request).parameters).includes(id));
};
const FAILS: Fault = { kind: "status", status: 500 };
const PAGE = { headers: { "content-type": "text/html", server: "waf" }, body: "<html>no</html>" };

/** Lets time pass in steps, and works on all that is visible. */
async function pass(company: Company, minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute += 1) {
    company.clock.now += 60_000;
    await company.attempt();
  }
}

describe("all writes answer 500 for an hour, while reads work", () => {
  it("nine people who are suspended meanwhile: none becomes a dead letter, all are disabled within minutes of the end", async () => {
    const company = withPipeline(await build({ reconcile: { maxDeprovisions: { count: 100 } } }));
    const { slug, nextcloud, clavex, ledger } = company;
    const people = company.people(12);
    await company.settle();
    nextcloud.faults.add({ ...FAILS, match: writes });
    const leavers = people.slice(0, 9);
    for (const { id } of leavers) {
      clavex.suspend(slug, id);
      await company.light();
      await pass(company, 6);
    }
    expect(company.lines.filter(({ fields }) => fields.result === "parked")).toEqual([]);
    for (const person of leavers) expect(await ledger.deadLetters.get(slug, person.id)).toBeUndefined();
    nextcloud.faults.clear();
    await pass(company, 2);
    expect(leavers.map((person) => company.account(person)?.enabled)).toEqual(Array(9).fill(false));
    expect(people.slice(9).map((person) => company.account(person)?.enabled)).toEqual([true, true, true]);
    expect(await company.queued()).toBe(0);
  });

  it.each([
    "PUT disable",
    "POST user_oidc",
    "POST membership",
    "DELETE membership",
  ])("%s alone: the server is left alone, and nobody is parked where it fails for several", async (name) => {
    const company = withPipeline(await build({ reconcile: { maxDeprovisions: { count: 100 } } }));
    const { slug, nextcloud, clavex } = company;
    const people = company.people(4).map((person, index) => {
      company.assign(person, `team ${index}`);
      return person;
    });
    await company.settle();
    nextcloud.faults.add({ ...FAILS, match: named(name) });
    for (const [index, person] of people.entries()) {
      if (name === "PUT disable") clavex.suspend(slug, person.id);
      if (name === "POST user_oidc") clavex.updateUser(slug, person.id, { first_name: `Grace ${index}` });
      if (name === "POST membership") company.assign(person, `other ${index}`);
      if (name === "DELETE membership") company.unassign(person, `team ${index}`);
    }
    await company.light();
    const mark = company.mark();
    await pass(company, 60);
    expect(company.counted).not.toContain("JobsParked");
    expect(company.writesSince(mark).filter((each) => each === name).length).toBeLessThan(2 * 61);
    nextcloud.faults.clear();
    await pass(company, 2);
    expect(await company.queued()).toBe(0);
    expect((await company.look("full")).differences).toEqual([]);
  });
});

describe("a call about one person that always fails", () => {
  const kinds: [string, Fault][] = [
    ["500", FAILS],
    ["a proxy's 403", { kind: "status", status: 403, ...PAGE }],
    ["a proxy's 401", { kind: "status", status: 401, ...PAGE }],
    ["a 401 without a body", { kind: "status", status: 401 }],
    ["a 403 without a body", { kind: "status", status: 403 }],
    ["a proxy's 404", { kind: "status", status: 404, ...PAGE }],
    ["a proxy's 502", { kind: "status", status: 502, ...PAGE }],
    ["a reset", { kind: "reset" }],
    ["half an answer", { kind: "cut" }],
    [
      "an answer of another form",
      { kind: "status", status: 200, body: '{"ocs":{"meta":{"statuscode":200},"data":[]}}' },
    ],
  ];
  const places = ["nextcloud", "clavex"] as const;

  it.each(
    kinds.flatMap(([what, fault]) => places.map((where) => ({ what, where, fault }))),
  )("$what of $where stops that person alone, who is parked after four tries", async ({ where, fault }) => {
    const tenant = await build();
    const { slug } = tenant;
    const ada = tenant.person();
    tenant[where].faults.add({ ...fault, match: about(tenant, ada) });
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      const result = await resultOf(tenant.bring(ada));
      expect(result).toEqual(attempt < 4 ? expect.stringMatching(`^${where}-`) : "parked");
      expect(await resultOf(tenant.bring(tenant.person()))).toBe("applied");
    }
    const letter = await tenant.ledger.deadLetters.get(slug, ada.id);
    expect(letter).toMatchObject({ reason: `${where}-read-fails`, attempts: 1 });
  });

  it("a read of one of its groups skips that group, and the rest is done", async () => {
    const tenant = await build({ identity: IDENTITIES.raw });
    const ada = tenant.person({}, ["eng", "ops"]);
    const odd = (request: RecordedRequest) => short(request).name === "GET group" && request.path.includes("/eng");
    tenant.nextcloud.faults.add({ ...FAILS, match: odd });
    const { result, notes } = done(await tenant.bring(ada));
    expect({ result, notes }).toEqual({ result: "applied", notes: [expect.stringContaining("group eng is skipped")] });
    expect(tenant.groupsOf(ada)).toEqual(["ops"]);
  });

  it("does not open the circuit, and the probe is a harmless call about the acting account", async () => {
    const tenant = await build();
    const [ada, grace] = [tenant.person(), tenant.person()];
    const before = tenant.nextcloud.user("provisioner");
    tenant.nextcloud.faults.add({ ...FAILS, match: about(tenant, ada) });
    const mark = tenant.mark();
    expect(await resultOf(tenant.bring(ada))).toBe("nextcloud-server-error");
    expect(tenant.requestsSince(mark).map(({ name, id }) => `${name} ${id}`)).toEqual([
      `GET user ${tenant.accountId(ada)}`,
      "GET user provisioner",
    ]);
    expect(await resultOf(tenant.bring(grace))).toBe("applied");
    expect(tenant.nextcloud.user("provisioner")).toEqual(before);
  });
});

describe("a server of which everything fails", () => {
  it.each([
    ["500", FAILS],
    ["a proxy's 403", { kind: "status", status: 403, ...PAGE } satisfies Fault],
    ["a proxy's 401", { kind: "status", status: 401, ...PAGE } satisfies Fault],
    ["a 401 without a body", { kind: "status", status: 401 } satisfies Fault],
    ["a proxy's 502", { kind: "status", status: 502, ...PAGE } satisfies Fault],
  ])("is left alone for a minute at a time, never for an hour: %s", async (_, fault) => {
    for (const where of ["nextcloud", "clavex"] as const) {
      const tenant = await build();
      const people = tenant.people(5);
      tenant[where].faults.add(fault);
      const requests = () => tenant[where].requests.length;
      for (let round = 0; round < 3; round += 1) {
        const before = requests();
        const { now } = tenant.clock;
        for (const person of people) {
          tenant.clock.now = now;
          expect(await resultOf(tenant.bring(person))).toMatch(`${where}-`);
        }
        expect(requests() - before).toBe(2);
        tenant.clock.now += OPEN_SECONDS * 1_000;
      }
      tenant[where].faults.clear();
      for (const person of people) expect(await resultOf(tenant.bring(person))).toBe("applied");
      for (const person of people) expect((await tenant.record(person))?.serverErrors).toBe(0);
    }
  });
});

describe("a group that Nextcloud answers oddly to", () => {
  const NAME = "🚀 Rocket team";
  const odd = (tenant: Tenant) => (request: RecordedRequest) => {
    const { name, parameters } = short(request);
    return name === "POST group" && parameters.groupid === tenant.groupId(NAME);
  };

  it.each([
    ["hashed", FAILS],
    ["raw", FAILS],
    ["database", FAILS],
    ["hashed", { kind: "status", status: 403, ...PAGE } satisfies Fault],
    ["raw", { kind: "reset" } satisfies Fault],
    ["database", { kind: "status", status: 200, body: "{}" } satisfies Fault],
  ] as const)("is skipped and noted, the rest of the person is provisioned (%s ids, %j)", async (identity, fault) => {
    const tenant = await build({ identity: IDENTITIES[identity] });
    const people = [tenant.person({}, [NAME, "eng"]), tenant.person({}, ["eng", NAME])];
    tenant.nextcloud.faults.add({ ...fault, match: odd(tenant) });
    for (const person of people) {
      const { result, notes } = done(await tenant.bring(person));
      expect(result).toBe("applied");
      expect(notes).toEqual([expect.stringContaining(`group ${NAME} is skipped`)]);
      expect(tenant.groupsOf(person)).toEqual(["eng"]);
    }
  });

  it("keeps no returner out", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    await tenant.bring(ada);
    tenant.clavex.suspend(tenant.slug, ada.id);
    await tenant.bring(ada);
    tenant.nextcloud.faults.add({ ...FAILS, match: odd(tenant) });
    tenant.assign(ada, NAME);
    tenant.clavex.updateUser(tenant.slug, ada.id, { is_active: true });
    await tenant.bring(ada);
    expect(tenant.account(ada)?.enabled).toBe(true);
  });

  it("several of them stop nobody", async () => {
    const tenant = await build();
    const isMade = named("POST group");
    tenant.nextcloud.faults.add({ ...FAILS, match: isMade });
    const ada = tenant.person({}, ["🎉", "🚀", "🛰"]);
    expect(done(await tenant.bring(ada)).notes).toHaveLength(3);
    expect(await resultOf(tenant.bring(tenant.person()))).toBe("applied");
  });

  it("is made ten minutes after it has become possible, without anybody's doing", async () => {
    const company = withPipeline(await build());
    const ada = company.person({}, ["eng", NAME]);
    company.nextcloud.faults.add({ ...FAILS, match: odd(company) });
    await company.settle();
    company.nextcloud.faults.clear();
    expect((await company.light()).sent).toBe(0);
    company.clock.now += 10 * 60_000;
    expect((await company.light()).sent).toBe(1);
    await company.work();
    expect(company.groupsOf(ada)).toEqual([NAME, "eng"].sort());
    company.clock.now += 24 * 60 * 60_000;
    expect((await company.light()).sent).toBe(0);
  });

  it("that cannot be joined keeps nobody from the others, and is skipped after four tries", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng", "odd", "ops"]);
    const joins = (request: RecordedRequest) => {
      const { name, parameters } = short(request);
      return name === "POST membership" && parameters.groupid === tenant.groupId("odd");
    };
    tenant.nextcloud.faults.add({ ...FAILS, match: joins });
    for (let attempt = 1; attempt < 4; attempt += 1) {
      expect(await resultOf(tenant.bring(ada))).toBe("nextcloud-server-error");
      expect(tenant.groupsOf(ada)).toEqual(["eng", "ops"]);
    }
    expect(done(await tenant.bring(ada)).notes).toEqual([expect.stringContaining("group odd is skipped")]);
    tenant.nextcloud.faults.clear();
    await tenant.bring(ada);
    expect(tenant.groupsOf(ada)).toEqual(["eng", "odd", "ops"]);
  });
});
