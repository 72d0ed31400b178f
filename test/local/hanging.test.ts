import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { accountId } from "../../functions/core/identity.ts";
import type { Organization } from "../../functions/core/organization.ts";
import { DEFAULT_INTERVALS, type Intervals, NEVER } from "../../functions/core/schedule.ts";
import { type Pipeline, startPipeline } from "../../functions/local/pipeline.ts";
import { type ClavexUser, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { Fields } from "../../functions/telemetry/log.ts";
import { apiKeyOf, environmentOf, organizationOf } from "../core/organization.ts";
import { personJob } from "../support/jobs.ts";
import { until } from "../support/processes.ts";

/** An organization with servers of its own. */
interface Site {
  slug: string;
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  organization: Organization;
}

const PATIENT = { connect: 5_000, headers: 60_000, body: 60_000 };

async function openSite(slug: string): Promise<Site> {
  const organizationId = randomUUID();
  const clavex = await startSimulatedClavex({ organizations: [{ id: organizationId, slug, apiKey: apiKeyOf(slug) }] });
  const nextcloud = await startSimulatedNextcloud();
  return { slug, clavex, nextcloud, organization: organizationOf({ slug, organizationId }, { clavex, nextcloud }) };
}

describe("a Clavex that takes requests and does not answer", () => {
  let acme: Site;
  let globex: Site;
  let pipeline: Pipeline;
  let failures: Fields[];

  beforeEach(async () => {
    [acme, globex] = [await openSite("acme"), await openSite("globex")];
    failures = [];
  });
  afterEach(async () => {
    // What hangs is released first: a stop waits for jobs that are under way.
    await Promise.all([acme, globex].flatMap(({ clavex, nextcloud }) => [clavex.close(), nextcloud.close()]));
    await pipeline.stop();
  });

  const start = async (intervals: Intervals): Promise<void> => {
    const silent = (): void => undefined;
    pipeline = await startPipeline({
      organizations: fixedOrganizations([acme.organization, globex.organization]),
      secrets: environmentSecrets(environmentOf(acme.nextcloud.password, "acme", "globex")),
      log: { debug: silent, info: silent, warn: silent, error: (_, fields = {}) => void failures.push(fields) },
      port: 0,
      intervals,
      retryDelay: () => 30,
      timeouts: { clavex: PATIENT },
      silence: { most: 2, afterMs: 50 },
    });
  };
  const add = ({ clavex, slug }: Site): ClavexUser =>
    clavex.addUser(slug, { email: `${randomUUID()}@${slug}.example`, first_name: "Ada", last_name: "L" });
  const accountOf = ({ nextcloud, organization }: Site, { id }: ClavexUser) =>
    nextcloud.user(accountId(organization.identity, id));
  const hasAccount = (site: Site, person: ClavexUser) =>
    until(
      async () => accountOf(site, person),
      (account) => account !== undefined,
    );

  it.each([
    ["anything", /./],
    ["the list of groups", /\/groups\?/],
  ])("about %s holds no more than half of the slots: 100 of its jobs wait, another organization's person has an account while its requests are open", async (_, path) => {
    acme.clavex.faults.add({ kind: "hang", match: (request) => path.test(request.path) });
    await start(NEVER);
    const waiting = Array.from({ length: 100 }, () => personJob("acme", add(acme).id));
    await pipeline.queue.sendAll(waiting, "test");
    await until(
      async () => acme.clavex.requests.length,
      (count) => count > 0,
    );
    const ada = add(globex);
    await pipeline.queue.send(personJob("globex", ada.id), "test");
    await hasAccount(globex, ada);
    // No request has ended: one that did would have opened the circuit, with a line for its probe.
    expect(failures).toEqual([]);
    const { waiting: untouched } = await pipeline.queue.counts();
    expect(untouched).toBe(0);
  });

  it("holds up no reconciliation but its own organization's", async () => {
    const ada = add(globex);
    add(acme);
    acme.clavex.faults.add({ kind: "hang" });
    await start(DEFAULT_INTERVALS);
    await hasAccount(globex, ada);
    expect(acme.clavex.requests.length).toBeGreaterThan(0);
    expect(failures).toEqual([]);
  });
});
