import { beforeEach, describe, expect, test } from "vitest";
import { CLAVEX_SERVER, ClavexKeyRefused, ClavexUnavailable } from "../../functions/clavex/errors.ts";
import { AccountConflict } from "../../functions/core/account.ts";
import type { Guarded } from "../../functions/core/failure.ts";
import { IdentityChanged, IdentityMismatch } from "../../functions/core/identity.ts";
import type { PersonJob } from "../../functions/core/job.ts";
import { createProbeDelay, createRetryDelay } from "../../functions/core/retry.ts";
import { LedgerUnavailable } from "../../functions/ledger/errors.ts";
import {
  NEXTCLOUD_SERVER,
  NextcloudServerError,
  NextcloudUnauthorized,
  NextcloudUnavailable,
  unreachable,
} from "../../functions/nextcloud/errors.ts";
import { type CircuitBreaker, CircuitOpen, createCircuitBreaker } from "../../functions/provision/circuit-breaker.ts";
import { QueueUnavailable } from "../../functions/queue/errors.ts";
import { OPEN_SECONDS, type ProvisionNow, type Tenant, useOrganizations } from "../support/organization.ts";

/** Nextcloud's answer to a wrong app password. */
const UNAUTHORISED = '{"ocs":{"meta":{"status":"failure","statuscode":997,"message":"Unauthorised"},"data":[]}}';
const HOUR_SECONDS = 60 * 60;
const NEXTCLOUD: Guarded = {
  kind: "nextcloud",
  name: "provisioner https://nextcloud.acme.example",
  credentials: "a",
};
const OTHER_NEXTCLOUD: Guarded = { ...NEXTCLOUD, name: "provisioner https://nextcloud.other.example" };
const CLAVEX: Guarded = { kind: "clavex", name: "acme https://id.acme.example", credentials: "k" };

const IDENTITY: Guarded = { kind: "identity", name: "identity acme", credentials: "hashed" };

const down = () => new NextcloudUnavailable("Nextcloud cannot be reached (ECONNREFUSED)", NEXTCLOUD_SERVER);

describe("a server whose circuit is open", () => {
  let now: number;
  let breaker: CircuitBreaker;
  beforeEach(() => {
    now = Date.UTC(2026, 6, 23, 8);
    breaker = createCircuitBreaker(createProbeDelay(30), () => now);
  });

  /** How a job that needs these servers ends: `done`, `not tried`, or the error's code. */
  async function run(servers: Guarded[], work: () => Promise<unknown>): Promise<string> {
    let tried = false;
    const outcome = await breaker
      .run(servers, async () => {
        tried = true;
        await work();
        return "done";
      })
      .catch((error) => (error instanceof CircuitOpen ? "not tried" : error.code));
    expect(tried).toBe(outcome !== "not tried");
    return outcome;
  }
  const fails = (servers: Guarded[], error: Error) => run(servers, () => Promise.reject(error));
  const succeeds = (...servers: Guarded[]) => run(servers, () => Promise.resolve());
  const wait = (seconds: number): void => {
    now += seconds * 1_000;
  };

  test("a half-open circuit lets one probe through, and the others wait for what it says", async () => {
    await fails([NEXTCLOUD], down());
    wait(29);
    expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    wait(1);
    const { promise, reject } = Promise.withResolvers<void>();
    const probe = run([NEXTCLOUD], () => promise);
    const storm = await Promise.all(Array.from({ length: 50 }, () => succeeds(NEXTCLOUD)));
    expect(new Set(storm)).toEqual(new Set(["not tried"]));
    reject(down());
    expect(await probe).toBe("nextcloud-unavailable");
    expect(await succeeds(NEXTCLOUD)).toBe("not tried");
  });

  test("a circuit closes as soon as its probe succeeds", async () => {
    await fails([NEXTCLOUD], down());
    wait(30);
    expect(await succeeds(NEXTCLOUD)).toBe("done");
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("a server is probed at the same intervals for as long as it is away", async () => {
    for (let times = 0; times < 8; times += 1) {
      expect(await fails([NEXTCLOUD], down())).toBe("nextcloud-unavailable");
      wait(29);
      expect(await succeeds(NEXTCLOUD)).toBe("not tried");
      wait(1);
    }
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("a server that asks to be left alone for a year is probed after a quarter of an hour", async () => {
    const asks = { retryAfterSeconds: 31_536_000 };
    await fails([NEXTCLOUD], new NextcloudUnavailable("maintenance", NEXTCLOUD_SERVER, asks));
    wait(899);
    expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    wait(1);
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("that a circuit closes is reported, once", async () => {
    const closed: string[] = [];
    const watched = createCircuitBreaker(
      createProbeDelay(30),
      () => now,
      ({ name }) => closed.push(name),
    );
    const attempt = (work: () => Promise<void>) => watched.run([NEXTCLOUD], work).catch(() => undefined);
    await attempt(() => Promise.reject(down()));
    wait(30);
    await attempt(() => Promise.reject(down()));
    expect(closed).toEqual([]);
    wait(30);
    await attempt(async () => undefined);
    await attempt(async () => undefined);
    expect(closed).toEqual([NEXTCLOUD.name]);
  });

  test("failures of jobs that were under way together count as one", async () => {
    await Promise.all(Array.from({ length: 8 }, () => fails([NEXTCLOUD], down())));
    wait(30);
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("a circuit stays open for as long as its server asks", async () => {
    await fails([NEXTCLOUD], new NextcloudUnavailable("maintenance", NEXTCLOUD_SERVER, { retryAfterSeconds: 600 }));
    wait(599);
    expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    wait(1);
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("a job that is not tried says what went wrong there, and for how long the circuit is open", async () => {
    await fails([NEXTCLOUD], down());
    wait(10);
    await expect(breaker.run([NEXTCLOUD], async () => undefined)).rejects.toMatchObject({
      failureClass: "transient",
      code: "nextcloud-unavailable",
      message: "not tried, the circuit is open: Nextcloud cannot be reached (ECONNREFUSED)",
      openForMs: 10_000,
    });
    wait(20);
    await fails([NEXTCLOUD], down());
    wait(10);
    await expect(breaker.run([NEXTCLOUD], async () => undefined)).rejects.toMatchObject({ openForMs: 40_000 });
  });

  test("an open circuit does not stop the others: another Nextcloud and Clavex alone go on", async () => {
    await fails([NEXTCLOUD, CLAVEX], down());
    expect(await succeeds(NEXTCLOUD, CLAVEX)).toBe("not tried");
    expect(await succeeds(OTHER_NEXTCLOUD, CLAVEX)).toBe("done");
    expect(await succeeds(CLAVEX)).toBe("done");
  });

  test("a circuit is not held by a probe that another open circuit kept from being tried", async () => {
    await fails([NEXTCLOUD], down());
    await fails([CLAVEX], new ClavexUnavailable("Clavex cannot be reached", CLAVEX_SERVER, { retryAfterSeconds: 300 }));
    wait(60);
    expect(await succeeds(NEXTCLOUD, CLAVEX)).toBe("not tried");
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("the next job is the probe when the probe failed for something else", async () => {
    await fails([NEXTCLOUD, CLAVEX], down());
    wait(30);
    expect(await fails([NEXTCLOUD, CLAVEX], new ClavexUnavailable("Clavex answers HTTP 500", "subject"))).toBe(
      "clavex-unavailable",
    );
    expect(await fails([NEXTCLOUD, CLAVEX], new Error("our own mistake"))).toBeUndefined();
    expect(await succeeds(NEXTCLOUD, CLAVEX)).toBe("done");
  });

  test.each([
    new NextcloudServerError(500, "POST cloud/users"),
    new NextcloudUnavailable("an answer that is cut", "subject"),
    new AccountConflict("somebody else's"),
    new ClavexUnavailable("Clavex answers HTTP 500", "subject"),
    new LedgerUnavailable(new Error("throttled")),
    new QueueUnavailable(new Error("throttled")),
    new IdentityChanged("acme"),
  ])("$name opens no circuit", async (error) => {
    await fails([NEXTCLOUD, CLAVEX, IDENTITY], error);
    expect(await succeeds(NEXTCLOUD, CLAVEX, IDENTITY)).toBe("done");
  });

  test("a wrong identity stops its organization for an hour, or until it has another one, and nobody else", async () => {
    const mismatch = new IdentityMismatch("expected", "made", "removed");
    await fails([NEXTCLOUD, CLAVEX, IDENTITY], mismatch);
    expect(await succeeds(NEXTCLOUD, CLAVEX)).toBe("done");
    wait(HOUR_SECONDS - 1);
    expect(await succeeds(NEXTCLOUD, CLAVEX, IDENTITY)).toBe("not tried");
    expect(await succeeds(NEXTCLOUD, CLAVEX, { ...IDENTITY, credentials: "raw" })).toBe("done");
    wait(1);
    expect(await fails([NEXTCLOUD, CLAVEX, IDENTITY], mismatch)).toBe("identity-mismatch");
    expect(await succeeds(NEXTCLOUD, CLAVEX, IDENTITY)).toBe("not tried");
  });

  describe("after refused credentials", () => {
    test("a server that refused credentials is not asked again for an hour, and then by one probe", async () => {
      await fails([NEXTCLOUD], new NextcloudUnauthorized());
      wait(HOUR_SECONDS - 1);
      expect(await succeeds(NEXTCLOUD)).toBe("not tried");
      wait(1);
      expect(await fails([NEXTCLOUD], new NextcloudUnauthorized())).toBe("nextcloud-unauthorized");
      wait(HOUR_SECONDS - 1);
      expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    });

    test("other credentials are tried at once, and the old ones stay out", async () => {
      await fails([NEXTCLOUD], new NextcloudUnauthorized());
      expect(await succeeds({ ...NEXTCLOUD, credentials: "b" })).toBe("done");
      expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    });

    test("jobs wait no longer than usual, so that corrected credentials are noticed soon", async () => {
      await fails([NEXTCLOUD], new NextcloudUnauthorized());
      const refused = await breaker.run([NEXTCLOUD], async () => undefined).catch((error) => error);
      expect(refused).toMatchObject({ failureClass: "configuration", code: "nextcloud-unauthorized" });
      expect(refused.fix).toMatch(/app password/);
      expect(createRetryDelay({ random: () => 0 })({ untriedForMs: refused.openForMs })).toBe(30);
    });

    test.each([
      new ClavexKeyRefused("HTTP 403"),
      unreachable(Object.assign(new Error("tls"), { code: "CERT_HAS_EXPIRED" })),
    ])("the wait is the usual one where no failed login is counted: $name", async (error) => {
      const server = error instanceof ClavexKeyRefused ? CLAVEX : NEXTCLOUD;
      await fails([server], error);
      wait(29);
      expect(await succeeds(server)).toBe("not tried");
      wait(1);
      expect(await succeeds(server)).toBe("done");
    });
  });
});

describe("many jobs for a server that is away", () => {
  const { build } = useOrganizations();

  /** Works on all jobs at the same time of the clock; returns the codes they failed with. */
  async function failures({ clock }: Tenant, provision: ProvisionNow, jobs: PersonJob[]): Promise<string[]> {
    const codes: string[] = [];
    const { now } = clock;
    for (const job of jobs) {
      clock.now = now;
      codes.push(
        await provision(job).then(
          ({ result }) => result,
          (error) => error.code,
        ),
      );
    }
    return codes;
  }

  test.each([
    { why: "maintenance", code: "nextcloud-unavailable", seconds: OPEN_SECONDS, requests: ["GET user"] },
    // The second one asks without credentials whether user_oidc is there, which is no login.
    {
      why: "refused credentials",
      code: "nextcloud-unauthorized",
      seconds: HOUR_SECONDS,
      requests: ["GET user", "POST user_oidc"],
    },
  ])("many jobs cost a server that is away one request, and one more when its circuit is half open: $why", async ({
    why,
    code,
    seconds,
    requests,
  }) => {
    const tenant = await build();
    const jobs = Array.from({ length: 20 }, () => tenant.job(tenant.person()));
    if (why === "maintenance") tenant.nextcloud.maintenance = true;
    else tenant.nextcloud.faults.add({ kind: "status", status: 401, body: UNAUTHORISED });
    const provision = tenant.container();
    for (let times = 0; times < 2; times += 1) {
      const mark = tenant.mark();
      expect(await failures(tenant, provision, jobs)).toEqual(Array(jobs.length).fill(code));
      expect(tenant.since(mark)).toEqual(requests);
      tenant.clock.now += seconds * 1_000;
    }
    tenant.nextcloud.maintenance = false;
    tenant.nextcloud.faults.clear();
    for (const job of jobs) expect(await provision(job)).toMatchObject({ result: "applied" });
  });
});
