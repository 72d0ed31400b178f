import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { get as httpGet } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixedOrganizations, type Organizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { ConfigurationError } from "../../functions/core/failure.ts";
import type { Organization } from "../../functions/core/organization.ts";
import { NEVER } from "../../functions/core/schedule.ts";
import { DatabaseUnavailable } from "../../functions/database.ts";
import { type Pipeline, startPipeline } from "../../functions/local/pipeline.ts";
import { type ReadinessSources, readiness } from "../../functions/local/readiness.ts";
import { openState, type State } from "../../functions/local/state.ts";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { apiKeyOf, environmentOf, organizationOf } from "../core/organization.ts";
import { until } from "../support/processes.ts";
import { signed } from "../support/requests.ts";

const SLUG = "acme";
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

describe("the admin port", () => {
  const organizationId = randomUUID();
  let clavex: SimulatedClavex;
  let nextcloud: SimulatedNextcloud;
  let organization: Organization;
  let pipeline: Pipeline;

  beforeEach(async () => {
    clavex = await startSimulatedClavex({
      organizations: [{ id: organizationId, slug: SLUG, apiKey: apiKeyOf(SLUG) }],
    });
    nextcloud = await startSimulatedNextcloud();
    organization = organizationOf({ slug: SLUG, organizationId }, { clavex, nextcloud });
    pipeline = await startPipeline({
      organizations: fixedOrganizations([organization]),
      secrets: environmentSecrets(environmentOf(nextcloud.password, SLUG)),
      log: silent,
      port: 0,
      adminPort: 0,
      intervals: NEVER,
      retryDelay: () => 1,
    });
  });
  afterEach(async () => {
    await pipeline.stop();
    await Promise.all([clavex.close(), nextcloud.close()]);
  });

  const post = async (init: RequestInit) => (await fetch(`${pipeline.url}/webhooks/clavex/${SLUG}`, init)).status;
  const deliver = () => {
    const person = clavex.addUser(SLUG, { email: `${randomUUID()}@acme.example`, first_name: "Ada", last_name: "L" });
    return post(signed(JSON.stringify(clavex.delivery("user.created", person))));
  };
  const get = async (path: string) => {
    const answer = await fetch(pipeline.adminUrl + path);
    return { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() };
  };
  const scrape = async (): Promise<string[]> => (await get("/metrics")).text.split("\n");

  it("answers only to addresses and its own names: no site can read it whose name was pointed at this machine", async () => {
    const { port } = new URL(pipeline.adminUrl ?? "");
    const status = (path: string, host: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const request = httpGet({ host: "127.0.0.1", port, path, headers: { host }, agent: false }, (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        });
        request.on("error", reject);
      });
    for (const path of ["/readyz", "/metrics"]) {
      for (const host of [`127.0.0.1:${port}`, "localhost", "LOCALHOST:1", `[::1]:${port}`, "192.0.2.7"])
        expect([path, host, await status(path, host)]).toEqual([path, host, 200]);
      for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1.evil.example", "localhost.evil.example"])
        expect([path, host, await status(path, host)]).toEqual([path, host, 421]);
    }
  });

  it("serves the metrics of what was done, without a token", async () => {
    expect(await deliver()).toBe(202);
    expect(await post({ method: "POST", body: "x" })).toBe(401);
    await pipeline.idle();
    const { status, type } = await get("/metrics");
    expect([status, type]).toEqual([200, expect.stringMatching(/^text\/plain; version=0\.0\.4/)]);
    const lines = await scrape();
    for (const line of [
      'clavex_nextcloud_jobs_total{result="applied"} 1',
      'clavex_nextcloud_deliveries_total{answer="queued"} 1',
      'clavex_nextcloud_deliveries_total{answer="401"} 1',
      'clavex_nextcloud_queue_jobs{state="waiting"} 0',
      "clavex_nextcloud_oldest_job_age_seconds 0",
      'clavex_nextcloud_dead_letters{organization="acme"} 0',
      'clavex_nextcloud_leavers_still_enabled{organization="acme"} 0',
      'clavex_nextcloud_brake_held{organization="acme",braked="deprovisions"} 0',
      'clavex_nextcloud_brake_held{organization="acme",braked="leaves"} 0',
      'clavex_nextcloud_circuit_open{organization="acme",circuit="nextcloud"} 0',
    ])
      expect(lines).toContain(line);
    for (const { url } of [clavex, nextcloud]) {
      const total = lines.find((line) =>
        line.startsWith(`clavex_nextcloud_requests_total{server="${url}",status="200"}`),
      );
      expect(Number(total?.split(" ").at(-1))).toBeGreaterThan(0);
      const count = lines.find((line) => line.startsWith(`clavex_nextcloud_request_seconds_count{server="${url}"}`));
      expect(Number(count?.split(" ").at(-1))).toBeGreaterThan(0);
    }
  });

  it("serves when runs began and how they ended", async () => {
    await pipeline.reconcile(SLUG, "full");
    const lines = await scrape();
    expect(lines).toContain('clavex_nextcloud_run_failed{organization="acme",kind="full"} 0');
    expect(lines.join("\n")).toMatch(
      /clavex_nextcloud_run_done_timestamp_seconds\{organization="acme",kind="full"\} \d{10}/,
    );
  });

  it("is ready with a line per organization; one whose Nextcloud is away is degraded, with the cause", async () => {
    expect(await get("/readyz")).toMatchObject({ status: 200, text: "acme ok\n" });
    await nextcloud.down();
    await deliver();
    const { status, text } = await until(
      () => get("/readyz"),
      (answer) => answer.text !== "acme ok\n",
    );
    expect([status, text]).toEqual([200, "acme degraded: Nextcloud cannot be reached (ECONNREFUSED)\n"]);
    expect(await scrape()).toContain('clavex_nextcloud_circuit_open{organization="acme",circuit="nextcloud"} 1');
    await nextcloud.up();
  });

  it("sends no request for an answer", async () => {
    for (const { requests } of [clavex, nextcloud]) requests.length = 0;
    await get("/readyz");
    await get("/metrics");
    expect([...clavex.requests, ...nextcloud.requests]).toEqual([]);
  });

  it("is another port than the webhook's, and each serves its own paths only", async () => {
    expect(new URL(pipeline.adminUrl ?? "").hostname).toBe("127.0.0.1");
    for (const path of ["/readyz", "/metrics"]) expect((await fetch(pipeline.url + path)).status).toBe(404);
    for (const path of ["/healthz", `/webhooks/clavex/${SLUG}`]) expect((await get(path)).status).toBe(404);
  });

  it("has metrics that are all documented, and the documents name no others", async () => {
    await deliver();
    await pipeline.idle();
    const served = new Set((await get("/metrics")).text.match(/(?<=^# TYPE )clavex_nextcloud_\w+/gm));
    const named = (text: string) =>
      new Set(text.match(/clavex_nextcloud_\w+/g)?.map((name) => name.replace(/_(sum|count|bucket)$/, "")));
    expect(named(await readFile("docs/one-machine.md", "utf8"))).toEqual(served);
    const alerts = named(await readFile("deploy/one-machine/alerts.yml", "utf8"));
    expect([...alerts].filter((name) => !served.has(name))).toEqual([]);
  });
});

describe("readiness", () => {
  const acme = organizationOf({ slug: "acme" });
  const beta = organizationOf({ slug: "beta" });
  let state: State;
  let sources: ReadinessSources;

  beforeEach(() => {
    state = openState(undefined);
    sources = {
      organizations: fixedOrganizations([acme, beta]),
      secrets: environmentSecrets(environmentOf("", "acme", "beta")),
      ledger: state.ledger,
      guards: { circuits: async () => [] },
      probe: state.probe,
    };
  });
  afterEach(() => state.close());

  it("is there when the state file can be written and a webhook secret can be read", async () => {
    expect(await readiness(sources)).toEqual({ ready: true, lines: ["acme ok", "beta ok"] });
  });

  it("is not while the state file cannot be written", async () => {
    sources.probe = () =>
      Promise.reject(new DatabaseUnavailable("state.sqlite", new Error("database or disk is full")));
    const { ready, lines } = await readiness(sources);
    expect([ready, lines[0]]).toEqual([false, expect.stringMatching(/^not ready: .*disk is full/)]);
  });

  it("is not while no organization's webhook secrets can be read", async () => {
    sources.secrets = environmentSecrets({});
    const { ready, lines } = await readiness(sources);
    expect([ready, lines]).toEqual([
      false,
      [
        "not ready: no organization's webhook secrets can be read",
        expect.stringMatching(/^acme degraded: secret env:WEBHOOK_SECRET cannot be read/),
        expect.stringMatching(/^beta degraded: /),
      ],
    ]);
  });

  it("is there where reconciliation alone does the work", async () => {
    const deaf = { ...acme, clavex: { ...acme.clavex, webhookSecrets: [] } };
    const given = { ...sources, organizations: fixedOrganizations([deaf]), secrets: environmentSecrets({}) };
    expect(await readiness(given)).toEqual({ ready: true, lines: ["acme ok"] });
  });

  it("names an organization whose document is wrong, beside one that works", async () => {
    const error = new ConfigurationError("organization-invalid", ["beta.json: is not JSON"]);
    const organizations: Organizations = fixedOrganizations([acme], [{ slug: "beta", error }]);
    expect(await readiness({ ...sources, organizations })).toEqual({
      ready: true,
      lines: ["acme ok", "beta degraded: beta.json: is not JSON"],
    });
  });

  it("says which organization is paused", async () => {
    await state.ledger.pauses.put("acme", { paused: true, at: 1 });
    await state.ledger.pauses.put("beta", { paused: false, at: 1 });
    expect(await readiness(sources)).toEqual({ ready: true, lines: ["acme ok (paused)", "beta ok"] });
  });

  it("names an organization whose last run failed", async () => {
    await state.ledger.runs.put("acme", "light", { beganAt: 1, endedAt: 2, result: "clavex-unavailable" });
    const { ready, lines } = await readiness(sources);
    expect([ready, lines]).toEqual([true, ["acme degraded: the last light run failed: clavex-unavailable", "beta ok"]]);
  });
});
