import { beforeEach, describe, expect, test } from "vitest";
import { CLAVEX_SERVER, ClavexKeyRefused, ClavexUnavailable } from "../../functions/clavex/errors.ts";
import { AccountConflict } from "../../functions/core/account.ts";
import type { Guarded } from "../../functions/core/failure.ts";
import type { Job } from "../../functions/core/job.ts";
import { createRetryDelay } from "../../functions/core/retry.ts";
import {
  NEXTCLOUD_SERVER,
  NextcloudCertificate,
  NextcloudServerError,
  NextcloudUnauthorized,
  NextcloudUnavailable,
} from "../../functions/nextcloud/errors.ts";
import { type CircuitBreaker, CircuitOpen, createCircuitBreaker } from "../../functions/provision/circuit-breaker.ts";
import { PAUSE_SECONDS, type ProvisionNow, type Tenant, useWorld } from "../support/world.ts";

const HOUR_SECONDS = 60 * 60;
const NEXTCLOUD: Guarded = {
  kind: "nextcloud",
  name: "provisioner https://nextcloud.acme.example",
  credentials: "a",
};
const OTHER_NEXTCLOUD: Guarded = { ...NEXTCLOUD, name: "provisioner https://nextcloud.other.example" };
const CLAVEX: Guarded = { kind: "clavex", name: "acme https://id.acme.example", credentials: "k" };

const down = () => new NextcloudUnavailable("Nextcloud cannot be reached (ECONNREFUSED)", NEXTCLOUD_SERVER);

describe("a paused server", () => {
  let now: number;
  let pauses: CircuitBreaker;
  beforeEach(() => {
    now = Date.UTC(2026, 6, 23, 8);
    pauses = createCircuitBreaker(
      createRetryDelay(() => 0),
      () => now,
    );
  });

  /** How a job that needs these servers ends: `done`, `not tried`, or the error's code. */
  async function run(servers: Guarded[], work: () => Promise<unknown>): Promise<string> {
    let tried = false;
    const outcome = await pauses
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

  test("gets one probe when its pause is over, and the others wait for what it says", async () => {
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

  test("is open to everybody as soon as the probe succeeds", async () => {
    await fails([NEXTCLOUD], down());
    wait(30);
    expect(await succeeds(NEXTCLOUD)).toBe("done");
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("is probed less and less often, down to every quarter of an hour", async () => {
    const lengths: number[] = [];
    for (let times = 0; times < 8; times += 1) {
      expect(await fails([NEXTCLOUD], down())).toBe("nextcloud-unavailable");
      const refused = await pauses.run([NEXTCLOUD], async () => undefined).catch((error) => error);
      lengths.push(refused.retryAfterSeconds);
      wait(refused.retryAfterSeconds);
    }
    expect(lengths).toEqual([30, 60, 120, 240, 480, 900, 900, 900]);
  });

  test("does not count the failures of jobs that were under way together as more than one", async () => {
    await Promise.all(Array.from({ length: 8 }, () => fails([NEXTCLOUD], down())));
    wait(30);
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("is paused for as long as it asks for itself", async () => {
    await fails([NEXTCLOUD], new NextcloudUnavailable("maintenance", NEXTCLOUD_SERVER, { retryAfterSeconds: 600 }));
    wait(599);
    expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    wait(1);
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("says to those that are not tried what went wrong there, and for how long it is paused", async () => {
    await fails([NEXTCLOUD], down());
    wait(10);
    await expect(pauses.run([NEXTCLOUD], async () => undefined)).rejects.toMatchObject({
      failureClass: "transient",
      code: "nextcloud-unavailable",
      message: "not tried, the circuit is open: Nextcloud cannot be reached (ECONNREFUSED)",
      retryAfterSeconds: 20,
    });
  });

  test("does not stop the others: another Nextcloud and Clavex alone go on", async () => {
    await fails([NEXTCLOUD, CLAVEX], down());
    expect(await succeeds(NEXTCLOUD, CLAVEX)).toBe("not tried");
    expect(await succeeds(OTHER_NEXTCLOUD, CLAVEX)).toBe("done");
    expect(await succeeds(CLAVEX)).toBe("done");
  });

  test("is not held by a probe that another paused server kept from being tried", async () => {
    await fails([NEXTCLOUD], down());
    await fails([CLAVEX], new ClavexUnavailable("Clavex cannot be reached", CLAVEX_SERVER, { retryAfterSeconds: 300 }));
    wait(60);
    expect(await succeeds(NEXTCLOUD, CLAVEX)).toBe("not tried");
    expect(await succeeds(NEXTCLOUD)).toBe("done");
  });

  test("is probed by the next job when the probe failed for something else", async () => {
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
  ])("is only what fails for everybody: $name of one person pauses nothing", async (error) => {
    await fails([NEXTCLOUD, CLAVEX], error);
    expect(await succeeds(NEXTCLOUD, CLAVEX)).toBe("done");
  });

  describe("after refused credentials", () => {
    test("is not asked again for an hour, and then by one probe", async () => {
      await fails([NEXTCLOUD], new NextcloudUnauthorized());
      wait(HOUR_SECONDS - 1);
      expect(await succeeds(NEXTCLOUD)).toBe("not tried");
      wait(1);
      expect(await fails([NEXTCLOUD], new NextcloudUnauthorized())).toBe("nextcloud-unauthorized");
      wait(HOUR_SECONDS - 1);
      expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    });

    test("is asked at once when the credentials have changed, and the old ones stay out", async () => {
      await fails([NEXTCLOUD], new NextcloudUnauthorized());
      expect(await succeeds({ ...NEXTCLOUD, credentials: "b" })).toBe("done");
      expect(await succeeds(NEXTCLOUD)).toBe("not tried");
    });

    test("keeps jobs waiting no longer than usual, so that corrected credentials are noticed soon", async () => {
      await fails([NEXTCLOUD], new NextcloudUnauthorized());
      const refused = await pauses.run([NEXTCLOUD], async () => undefined).catch((error) => error);
      expect(refused).toMatchObject({ failureClass: "configuration", code: "nextcloud-unauthorized" });
      expect(refused.fix).toMatch(/app password/);
      expect(createRetryDelay(() => 0)(1, refused.retryAfterSeconds)).toBe(30);
    });

    test.each([
      new ClavexKeyRefused("HTTP 403"),
      new NextcloudCertificate("CERT_HAS_EXPIRED"),
    ])("waits as usual where no failed login is counted: $name", async (error) => {
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
  const world = useWorld();

  /** Works on all jobs at the same time of the clock; returns the codes they failed with. */
  async function failures({ clock }: Tenant, provision: ProvisionNow, jobs: Job[]): Promise<string[]> {
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
    { why: "maintenance", code: "nextcloud-unavailable", seconds: PAUSE_SECONDS },
    { why: "refused credentials", code: "nextcloud-unauthorized", seconds: HOUR_SECONDS },
  ])("cost it one request, and one more after the pause: $why", async ({ why, code, seconds }) => {
    const tenant = await world.tenant();
    const jobs = Array.from({ length: 20 }, () => tenant.job(tenant.person()));
    if (why === "maintenance") tenant.nextcloud.maintenance = true;
    else tenant.nextcloud.faults.add({ kind: "status", status: 401 });
    const provision = tenant.container();
    for (let times = 0; times < 2; times += 1) {
      const mark = tenant.mark();
      expect(await failures(tenant, provision, jobs)).toEqual(Array(jobs.length).fill(code));
      expect(tenant.since(mark)).toEqual(["GET user"]);
      tenant.clock.now += seconds * 1_000;
    }
    tenant.nextcloud.maintenance = false;
    tenant.nextcloud.faults.clear();
    for (const job of jobs) expect(await provision(job)).toMatchObject({ result: "applied" });
  });
});
