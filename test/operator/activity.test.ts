import { describe, expect, it } from "vitest";
import { createActivityRing } from "../../functions/activity/ring.ts";
import { type Activity, activityInWords, activityOf } from "../../functions/core/activity.ts";
import { openDatabase } from "../../functions/database.ts";
import { followActivities } from "../../functions/operator/activity.ts";
import { createNames } from "../../functions/operator/names.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const office = useOrganizations();
const lately = ({ lines }: Company): Activity[] =>
  lines
    .filter(({ level }) => level !== "debug")
    .flatMap(({ message, fields }) => activityOf({ at: 1, message, fields }) ?? []);

describe("what the pipeline tells", () => {
  it("is a delivery, its job and what was done, in words", async () => {
    const acme = withPipeline(await office.build());
    const ada = acme.person({}, ["Engineering"]);
    await acme.deliver(acme.clavex.delivery("user.created", ada));
    await acme.work();
    const [delivery, job, ...others] = lately(acme);
    expect(others).toEqual([]);
    expect(delivery).toMatchObject({ kind: "delivery", subject: ada.id, cause: "user.created", result: "queued" });
    expect(job).toMatchObject({ kind: "job", subject: ada.id, cause: "user.created", result: "applied" });
    expect(job?.deliveryId).toBe(delivery?.deliveryId);
    expect(job && activityInWords(job)).toBe("account created, joined Engineering");
  });

  it("is a run, what it found, and what its jobs did", async () => {
    const acme = withPipeline(await office.build());
    acme.people(2);
    await acme.settle();
    const late = acme.person();
    await acme.full();
    await acme.work();
    await acme.light();
    expect(lately(acme).map(activityInWords)).toEqual([
      "full reconciliation: 3 people, 1 difference, 1 job queued",
      "account created",
    ]);
    expect(lately(acme)[1]).toMatchObject({ subject: late.id, cause: "reconcile" });
  });

  it("holds no e-mail address and no name of a person", async () => {
    const acme = withPipeline(await office.build());
    const person = acme.person({ first_name: "Grace", last_name: "Hopper" });
    await acme.deliver(acme.clavex.delivery("user.created", person));
    acme.nextcloud.faults.add({ kind: "status", status: 503, times: 1 });
    await acme.work();
    expect(lately(acme).map(({ result }) => result)).toContain("applied");
    expect(JSON.stringify(lately(acme))).not.toMatch(/Grace|Hopper|@/);
  });
});

describe("following", () => {
  it("gives what was there before, then what comes, and ends when it is to", async () => {
    const database = openDatabase(undefined);
    const ring = createActivityRing(database);
    const record = async (at: number): Promise<void> => {
      ring.record({ at, organization: "acme", kind: "run", result: "done", cause: "full" });
      ring.flush();
      await database.write(() => undefined);
    };
    await record(1);
    await record(2);
    const ending = new AbortController();
    const seen: number[] = [];
    for await (const some of followActivities(ring, {}, { most: 1, everyMs: 1, signal: ending.signal })) {
      seen.push(...some.map(({ at }) => at));
      if (seen.length === 1) await record(3);
      if (seen.at(-1) === 3) ending.abort();
    }
    expect(seen).toEqual([2, 3]);
    database.close();
  });
});

describe("names", () => {
  it("come from the directory, once for each person; without an answer there is none", async () => {
    const acme = await office.build();
    const ada = acme.person({ first_name: "Ada", last_name: "Lovelace" });
    const names = createNames({ organizations: acme.organizations, clients: acme.newClients() });
    const who = { organization: acme.slug, subject: ada.id };
    const nobody = { organization: acme.slug, subject: "5a3b1c0d-2e4f-4a6b-8c7d-9e0f1a2b3c4d" };
    await names.learn([who, who, nobody]);
    const requests = acme.clavex.requests.length;
    await names.learn([who, nobody]);
    expect(acme.clavex.requests).toHaveLength(requests);
    expect([names.of(who), names.of(nobody)]).toEqual([{ name: "Ada Lovelace", email: ada.email }, undefined]);

    acme.clavex.faults.add({ kind: "status", status: 500 });
    const later = acme.person();
    const others = [later, acme.person()].map(({ id }) => ({ organization: acme.slug, subject: id }));
    await names.learn(others);
    expect(others.map(names.of)).toEqual([undefined, undefined]);
  });
});
