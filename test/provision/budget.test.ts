import { describe, expect, it } from "vitest";
import { CLAVEX_TIMEOUTS } from "../../functions/clavex/admin-api.ts";
import { createClients } from "../../functions/clients.ts";
import { LONGEST_REQUEST_MS } from "../../functions/http.ts";
import { NEXTCLOUD_TIMEOUTS } from "../../functions/nextcloud/ocs.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import { CONTAINER_LIMITS, JOB_MS, LONGEST_JOB_MS } from "../../functions/provision/limits.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { sideBySide } from "../../functions/side-by-side.ts";
import { WORKER_TIMEOUT } from "../../infra/functions.ts";
import { resultOf } from "../support/jobs.ts";
import { OPEN_SECONDS, useOrganizations } from "../support/organization.ts";
import { named } from "../support/requests.ts";

const { build } = useOrganizations();

describe("the time of a batch", () => {
  it("is enough for every job that has begun: the deployed function lives longer than a job takes at the most", () => {
    for (const { connect, headers, body } of [CLAVEX_TIMEOUTS, NEXTCLOUD_TIMEOUTS])
      expect(LONGEST_REQUEST_MS).toBeGreaterThanOrEqual(connect + headers + body);
    expect(LONGEST_JOB_MS).toBeGreaterThan(JOB_MS + LONGEST_REQUEST_MS);
    // Jobs begin for as long as a job takes, at least: a container that hangs once is no container that does nothing.
    expect(WORKER_TIMEOUT.toMilliseconds()).toBeGreaterThan(2 * LONGEST_JOB_MS);
  });

  it("is not spent on waiting: a request whose job is over time is not sent when its turn comes", async () => {
    const tenant = await build();
    const ada = tenant.person({}, ["eng"]);
    const { clock } = tenant;
    tenant.nextcloud.faults.add({
      kind: "changed",
      match: named("POST user_oidc"),
      change(answer) {
        clock.now += JOB_MS;
        return answer;
      },
    });
    const mark = tenant.mark();
    expect(await resultOf(tenant.bring(ada))).toBe("job-over-time");
    expect(tenant.writesSince(mark)).toEqual(["POST user_oidc"]);
    tenant.nextcloud.faults.clear();
    expect(await resultOf(tenant.bring(ada))).toBe("applied");
  });

  it("is not spent on a server that another job has found to be away: ten jobs under way send one more request at most", async () => {
    const tenant = await build();
    const people = tenant.people(10);
    let asked = 0;
    tenant.nextcloud.faults.add({
      kind: "changed",
      match: named("GET user"),
      change(answer) {
        asked += 1;
        return { ...answer, status: 503, headers: { "x-nextcloud-maintenance-mode": "1" } };
      },
    });
    const results = await Promise.all(people.map((person) => resultOf(tenant.provisionNow(tenant.job(person)))));
    expect(new Set(results)).toEqual(new Set(["nextcloud-unavailable"]));
    expect(asked).toBeLessThanOrEqual(2);
  });

  it("is not spent on a POST that hangs: ten new people cost as many timeouts as there are connections, and come back untried", async () => {
    const tenant = await build();
    const people = tenant.people(10);
    tenant.nextcloud.faults.add({ kind: "hang", match: named("POST user_oidc") });
    const hasty = createClients({
      secrets: tenant.secrets,
      nextcloudConnections: CONTAINER_LIMITS.nextcloudConnections,
      now: () => tenant.clock.now,
      timeouts: { nextcloud: { connect: 5_000, headers: 500, body: 500 } },
    });
    tenant.atEnd(hasty.close);
    const { organizations, ledger, clock } = tenant;
    const now = () => clock.now;
    const guards = createGuards({ organizations, clients: hasty, ledger, breakerDelay: () => OPEN_SECONDS, now });
    const provision = createProvision({ guards, ledger, now });
    const received = people.map((person) => ({ job: tenant.job(person), sentAt: clock.now, receiveCount: 1 }));
    const mark = tenant.mark();
    await sideBySide(received, CONTAINER_LIMITS.concurrentSubjects, async (each) => {
      expect(await resultOf(provision(each))).toBe("nextcloud-unavailable");
    });
    expect(tenant.writesSince(mark).length).toBeLessThanOrEqual(CONTAINER_LIMITS.nextcloudConnections);
    expect(tenant.nextcloud.requests.length).toBeLessThan(2 * people.length);
  });
});
