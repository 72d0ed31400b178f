import { describe, expect, it } from "vitest";
import type { Fault } from "../../functions/simulated/server.ts";
import { refusalOf } from "../support/jobs.ts";
import { OPEN_SECONDS, useOrganizations } from "../support/organization.ts";
import { named } from "../support/requests.ts";

const { build } = useOrganizations();

describe("Clavex in trouble", () => {
  const wrong: [string, Fault][] = [
    ["500", { kind: "status", status: 500 }],
    ["429", { kind: "status", status: 429 }],
    ["401", { kind: "status", status: 401, body: '{"error":"Unauthorized","message":"Unauthorized"}' }],
    ["403", { kind: "status", status: 403, body: '{"error":"Forbidden","message":"not allowed"}' }],
    ["a 401 without a body", { kind: "status", status: 401 }],
    ["a 403 without a body", { kind: "status", status: 403 }],
    ["a redirect", { kind: "status", status: 302, headers: { location: "https://elsewhere.example/" } }],
    ["somebody else's 404", { kind: "status", status: 404, body: "<html>not here</html>" }],
    ["a 404 for everything", { kind: "status", status: 404, body: '{"error":"Not Found","message":"Not Found"}' }],
    ["an empty page", { kind: "status", status: 200, body: "" }],
    ["a login page", { kind: "status", status: 200, body: "<html>login</html>" }],
    ["an empty object", { kind: "status", status: 200, body: "{}" }],
    ["a reset connection", { kind: "reset" }],
    ["half an answer", { kind: "cut" }],
  ];

  it.each(wrong)("a Clavex that answers with %s takes nothing from anybody", async (_, fault) => {
    const tenant = await build({ scope: { groups: ["Cloud"] } });
    const ada = tenant.person({}, ["Cloud", "eng"]);
    await tenant.bring(ada);
    const before = tenant.account(ada);
    const mark = tenant.mark();
    for (const part of ["/users", "/groups", "/members"]) {
      tenant.clavex.faults.clear();
      tenant.clavex.faults.add({ ...fault, match: ({ path }) => path.includes(part) });
      for (const run of [tenant.container(), tenant.container()]) {
        const refusal = await refusalOf(run(tenant.webhook(ada)));
        expect(["transient", "configuration"]).toContain(refusal.failureClass);
      }
    }
    expect(tenant.writesSince(mark)).toEqual([]);
    expect(tenant.account(ada)).toEqual(before);
  });

  it("a Clavex that is down takes nothing from anybody, and the job succeeds later", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    await tenant.clavex.down();
    expect(await refusalOf(tenant.bring(ada))).toMatchObject({ failureClass: "transient" });
    await tenant.clavex.up();
    expect(await tenant.container()(tenant.job(ada))).toMatchObject({ result: "applied" });
  });
});

describe("Nextcloud in trouble", () => {
  it("a Nextcloud in maintenance gets no more requests, but for one probe when its circuit is half open", async () => {
    const tenant = await build();
    const people = Array.from({ length: 5 }, () => tenant.person());
    tenant.nextcloud.maintenance = true;
    const mark = tenant.mark();
    for (const person of people) {
      expect(await refusalOf(tenant.bring(person))).toMatchObject({ failureClass: "transient" });
    }
    expect(tenant.since(mark)).toEqual(["GET user"]);
    tenant.clock.now += OPEN_SECONDS * 1_000;
    const probes = people.map((person) => refusalOf(tenant.provisionNow(tenant.job(person))));
    await Promise.all(probes);
    expect(tenant.since(mark)).toEqual(["GET user", "GET user"]);
    tenant.nextcloud.maintenance = false;
    tenant.clock.now += 10 * OPEN_SECONDS * 1_000;
    for (const person of people) expect(await tenant.bring(person)).toMatchObject({ result: "applied" });
  });

  it("a refused app password is not tried again: good requests would be slowed down", async () => {
    const tenant = await build();
    const body = '{"ocs":{"meta":{"status":"failure","statuscode":997,"message":"Unauthorised"},"data":[]}}';
    tenant.nextcloud.faults.add({ kind: "status", status: 401, body });
    const mark = tenant.mark();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      expect(await refusalOf(tenant.bring(tenant.person()))).toMatchObject({
        failureClass: "configuration",
        code: "nextcloud-unauthorized",
      });
    }
    // The second one asks without credentials whether user_oidc is there, which is no login.
    expect(tenant.since(mark)).toEqual(["GET user", "POST user_oidc"]);
  });

  it.each([
    "POST user_oidc",
    "POST group",
    "POST membership",
  ])("a job that fails in the middle of %s is tried again, and all is right then", async (name) => {
    for (const fault of ["before", "after", "reset"] as const) {
      const tenant = await build();
      const ada = tenant.person({}, ["eng", "ops"]);
      const match = named(name);
      // A join is repeated at once after a 500: only two in a row make the job fail.
      if (fault === "reset") tenant.nextcloud.faults.add({ kind: "reset", match, times: 1 });
      else tenant.nextcloud.faults.add({ kind: "status", status: 500, match, times: 2, after: fault === "after" });
      for (let attempt = 0; attempt < 3; attempt += 1) await tenant.bring(ada).catch(() => undefined);
      expect(await tenant.bring(ada)).toMatchObject({ result: "unchanged", notes: [] });
      expect(tenant.account(ada)?.groups).toEqual([tenant.groupId("eng"), tenant.groupId("ops")].sort());
      tenant.unassign(ada, "eng", "ops");
      await tenant.bring(ada);
      expect(tenant.account(ada)?.groups).toEqual([]);
    }
  });

  it("without the app user_oidc no account is made, and the failure says which app to enable", async () => {
    const tenant = await build();
    const body = JSON.stringify({
      ocs: { meta: { status: "failure", statuscode: 404, message: "Invalid query" }, data: [] },
    });
    tenant.nextcloud.faults.add({ kind: "status", status: 404, body, match: named("POST user_oidc") });
    const refusal = await refusalOf(tenant.bring(tenant.person()));
    expect(refusal).toMatchObject({ failureClass: "configuration", fix: expect.stringContaining("user_oidc") });
  });
});
