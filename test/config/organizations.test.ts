import { hash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  configurationsOf,
  type DeployedOrganizations,
  organizationsFromParameters,
  withDocuments,
} from "../../functions/config/organization-parameters.ts";
import { ConfigurationError } from "../../functions/core/failure.ts";
import { type ParameterStore, startParameterStore } from "../support/ssm.ts";

const PATH = "/clavex-nextcloud/prod/organizations/";
const MINUTE = 60_000;

let store: ParameterStore;
let clock: number;
let organizations: DeployedOrganizations;

beforeEach(async () => {
  store = await startParameterStore();
  clock = 1_000_000;
  organizations = organizationsFromParameters(store.client, "prod", () => clock);
});
afterEach(() => store.close());

const documentOf = (slug: string, change: Record<string, unknown> = {}): string =>
  JSON.stringify({
    slug,
    organizationId: `0b9d7d4e-8f5b-4f0e-9a44-${hash("sha256", slug).slice(0, 12)}`,
    clavex: { baseUrl: "https://id.acme.eu", webhookSecrets: ["ssm:primary"], apiKey: "ssm:clavex-api-key" },
    nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: "ssm:password" },
    identity: { providerId: 1 },
    ...change,
  });
const put = (slug: string, document = documentOf(slug)): void => store.put(`${PATH}${slug}`, document);

describe("the organizations of a stage", () => {
  it("are read together, whatever their number, and found by their slugs", async () => {
    const slugs = Array.from({ length: 23 }, (_, index) => `org-${String(index).padStart(2, "0")}`);
    for (const slug of slugs) put(slug);
    expect(await organizations.slugs()).toEqual(slugs);
    for (const slug of slugs) expect((await organizations.get(slug))?.slug).toBe(slug);
    expect(new Set(store.calls)).toEqual(new Set([`GetParametersByPath ${PATH}`]));
    expect(store.calls.length).toBeLessThanOrEqual(4);
  });

  it("are those of this stage only, and no parameters below them", async () => {
    put("acme");
    store.put("/clavex-nextcloud/test/organizations/other", documentOf("other"));
    store.put(`${PATH}acme/nested`, documentOf("nested"));
    expect(await organizations.slugs()).toEqual(["acme"]);
    expect(await organizations.get("other")).toBeUndefined();
    expect(await organizations.get("nested")).toBeUndefined();
  });

  it("may be none", async () => {
    expect(await organizations.slugs()).toEqual([]);
    expect(await organizations.get("acme")).toBeUndefined();
  });

  it("are kept for five minutes, then read anew", async () => {
    put("acme");
    await organizations.get("acme");
    put("acme", documentOf("acme", { quota: { attribute: "changed" } }));
    clock += 5 * MINUTE;
    expect((await organizations.get("acme"))?.quota.attribute).toBe("nextcloud_quota");
    expect(store.calls).toHaveLength(1);
    clock += 1;
    expect((await organizations.get("acme"))?.quota.attribute).toBe("changed");
    expect(store.calls).toHaveLength(2);
  });

  it("are read once for many who ask at the same time", async () => {
    put("acme");
    await Promise.all(Array.from({ length: 50 }, () => organizations.get("acme")));
    expect(store.calls).toHaveLength(1);
  });
});

describe("a job that was planned with another document", () => {
  const changed = documentOf("acme", { quota: { attribute: "changed" } });
  const planned = (text: string, at = clock) => ({ configuration: hash("sha256", text), at });
  beforeEach(async () => {
    put("acme");
    await organizations.get("acme");
    store.calls.length = 0;
    clock += 1_000;
  });

  it("is worked on with the document that was deployed since, not with the one that is kept", async () => {
    put("acme", changed);
    expect(await organizations.get("acme", planned(changed))).toMatchObject({ quota: { attribute: "changed" } });
    expect(store.calls).toHaveLength(1);
  });

  it("and a hundred of them lead to one reading, for which all of them wait", async () => {
    put("acme", changed);
    const got = await Promise.all(Array.from({ length: 100 }, () => organizations.get("acme", planned(changed))));
    expect(new Set(got.map((organization) => organization?.quota.attribute))).toEqual(new Set(["changed"]));
    for (let job = 0; job < 100; job += 1) await organizations.get("acme", planned(changed));
    expect(store.calls).toHaveLength(1);
  });

  it("is worked on with the newest document, when another was deployed since", async () => {
    put("acme", changed);
    await organizations.get("acme", planned(changed));
    const newest = documentOf("acme", { quota: { attribute: "newest" } });
    put("acme", newest);
    clock += 1_000;
    await organizations.get("acme", planned(newest));
    expect(await organizations.get("acme", planned(changed))).toMatchObject({ quota: { attribute: "newest" } });
  });

  it("leads to no reading when the document is the one that is kept, or the job is older than the reading", async () => {
    await organizations.get("acme", planned(documentOf("acme")));
    await organizations.get("acme", planned(changed, clock - 2_000));
    expect(store.calls).toEqual([]);
  });

  it("by a sender that is itself behind leads to one reading a minute, not to one for each job", async () => {
    for (let second = 0; second < 120; second += 1) {
      clock += 1_000;
      await organizations.get("acme", planned(changed));
    }
    expect(store.calls.length).toBeLessThanOrEqual(3);
  });

  it("is worked on with what is kept while SSM is out of order", async () => {
    store.fault = { code: "ThrottlingException", status: 400 };
    expect(await organizations.get("acme", planned(changed))).toMatchObject({ slug: "acme" });
  });

  it("of a time that is not believed is no reason to read for ever", async () => {
    await organizations.get("acme", planned(changed, clock + 60 * MINUTE));
    await organizations.get("acme", planned(changed, clock + 60 * MINUTE));
    expect(store.calls).toHaveLength(1);
  });
});

describe("a document that was handed over", () => {
  it("is used without any reading, and says what it was", async () => {
    const handed = withDocuments(organizations, new Map([["acme", documentOf("acme")]]));
    expect(await handed.get("acme")).toMatchObject({ slug: "acme" });
    expect(await configurationsOf(handed)("acme")).toBe(hash("sha256", documentOf("acme")));
    expect(store.calls).toEqual([]);
  });

  it("says nothing of others, which are read", async () => {
    put("north");
    const handed = withDocuments(organizations, new Map([["acme", documentOf("acme")]]));
    expect(await handed.get("north")).toMatchObject({ slug: "north" });
    expect(await configurationsOf(handed)("nowhere")).toBeUndefined();
  });

  it("that is wrong is refused with its problems", async () => {
    const handed = withDocuments(organizations, new Map([["acme", "{"]]));
    await expect(handed.get("acme")).rejects.toThrow(ConfigurationError);
  });
});

describe("a slug that is not among them", () => {
  it("is read for once a minute, however many are made up", async () => {
    put("acme");
    await organizations.get("acme");
    for (let second = 0; second < 300; second += 1) {
      clock += 1000;
      expect(await organizations.get(`made-up-${second}`)).toBeUndefined();
    }
    expect(store.calls.length).toBeLessThanOrEqual(1 + 5);
  });

  it("costs nothing when a hundred ask at once", async () => {
    put("acme");
    await organizations.get("acme");
    clock += 2 * MINUTE;
    await Promise.all(Array.from({ length: 100 }, (_, index) => organizations.get(`made-up-${index}`)));
    expect(store.calls).toHaveLength(2);
  });

  it.each([
    "",
    "..",
    "../secrets/acme",
    "acme/nested",
    "ACME",
    "acme\n",
    "__proto__",
    "é",
    "a".repeat(64),
  ])("and cannot be one (%j) is not read for at all", async (slug) => {
    put("acme");
    expect(await organizations.get(slug)).toBeUndefined();
    expect(store.calls).toEqual([]);
  });

  it("is found within a minute once it is there", async () => {
    put("acme");
    expect(await organizations.get("new")).toBeUndefined();
    put("new");
    clock += MINUTE;
    expect(await organizations.get("new")).toBeUndefined();
    clock += 1;
    expect((await organizations.get("new"))?.slug).toBe("new");
  });

  it("is not known any more, five minutes after it was deleted", async () => {
    put("acme");
    await organizations.get("acme");
    store.delete(`${PATH}acme`);
    expect((await organizations.get("acme"))?.slug).toBe("acme");
    clock += 5 * MINUTE + 1;
    expect(await organizations.get("acme")).toBeUndefined();
  });
});

describe("a document that is wrong", () => {
  it.each([
    ["no JSON", "{"],
    ["an unknown key", documentOf("wrong", { colour: "red" })],
    ["a secret of another kind of place", documentOf("wrong").replace("ssm:password", "env:PASSWORD")],
    ["the slug of another", documentOf("acme")],
  ])("(%s) fails its own organization, naming the parameter, and no other", async (_, document) => {
    put("acme");
    put("wrong", document);
    const failure = await organizations.get("wrong").catch((error) => error);
    expect(failure).toBeInstanceOf(ConfigurationError);
    expect(failure.problems).toEqual([expect.stringContaining(`${PATH}wrong: `)]);
    expect((await organizations.get("acme"))?.slug).toBe("acme");
    expect(await organizations.slugs()).toEqual(["acme", "wrong"]);
    expect(store.calls).toHaveLength(1);
  });

  it("works as soon as it is read again after its correction", async () => {
    put("wrong", "{");
    await expect(organizations.get("wrong")).rejects.toBeInstanceOf(ConfigurationError);
    put("wrong");
    clock += 5 * MINUTE + 1;
    expect((await organizations.get("wrong"))?.slug).toBe("wrong");
  });
});

describe("two organizations that cannot stand together", () => {
  const elsewhere = (slug: string, change: Record<string, unknown> = {}) =>
    documentOf(slug, {
      clavex: { baseUrl: `https://id.${slug}.eu`, webhookSecrets: ["ssm:primary"], apiKey: "ssm:clavex-api-key" },
      ...change,
    });

  it("are refused, each naming both, and the others go on", async () => {
    put("acme", elsewhere("acme"));
    put("beta", elsewhere("beta"));
    put("gamma", elsewhere("gamma", { identity: { providerId: 2 } }));
    for (const slug of ["acme", "beta"]) {
      const failure = await organizations.get(slug).catch((error) => error);
      expect(failure).toBeInstanceOf(ConfigurationError);
      expect(failure.problems).toEqual([expect.stringContaining(`${PATH}${slug}: identity: acme and beta`)]);
      expect(failure.message).toContain(`${PATH}${slug === "acme" ? "beta" : "acme"}`);
    }
    expect((await organizations.get("gamma"))?.slug).toBe("gamma");
    expect(await organizations.slugs()).toEqual(["acme", "beta", "gamma"]);
  });

  it("both work when one of them was corrected and is read again", async () => {
    put("acme", elsewhere("acme"));
    put("beta", elsewhere("beta"));
    await expect(organizations.get("acme")).rejects.toBeInstanceOf(ConfigurationError);
    put("beta", elsewhere("beta", { identity: { providerId: 2 } }));
    clock += 5 * MINUTE + 1;
    expect((await organizations.get("acme"))?.slug).toBe("acme");
    expect((await organizations.get("beta"))?.slug).toBe("beta");
  });

  it("are those with one organizationId, too", async () => {
    const organizationId = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
    put("acme", documentOf("acme", { organizationId }));
    put("beta", documentOf("beta", { organizationId }));
    await expect(organizations.get("acme")).rejects.toThrow(`is also that of ${PATH}beta`);
    await expect(organizations.get("beta")).rejects.toThrow(`is also that of ${PATH}acme`);
  });
});

describe("while SSM is out of order", () => {
  it.each([
    { code: "ThrottlingException", status: 400 },
    { code: "InternalServerError", status: 500 },
  ])("($code) what was read last stays in use", async (fault) => {
    put("acme");
    await organizations.get("acme");
    store.fault = fault;
    clock += 60 * MINUTE;
    expect((await organizations.get("acme"))?.slug).toBe("acme");
    expect(await organizations.get("made-up")).toBeUndefined();
    expect(await organizations.slugs()).toEqual(["acme"]);
    store.fault = undefined;
    clock += MINUTE + 1;
    put("new");
    expect((await organizations.get("new"))?.slug).toBe("new");
  });

  it("(unreachable) what was read last stays in use", async () => {
    put("acme");
    await organizations.get("acme");
    await store.close();
    clock += 60 * MINUTE;
    expect((await organizations.get("acme"))?.slug).toBe("acme");
  });

  it("in the middle of the pages, half a reading does not make organizations vanish", async () => {
    const slugs = Array.from({ length: 15 }, (_, index) => `org-${String(index).padStart(2, "0")}`);
    for (const slug of slugs) put(slug);
    await organizations.slugs();
    store.calls.length = 0;
    clock += 6 * MINUTE;
    const reading = organizations.slugs();
    while (store.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
    store.fault = { code: "InternalServerError", status: 500 };
    expect(await reading).toEqual(slugs);
  });

  it("and nothing was read before, it is to be tried again", async () => {
    put("acme");
    store.fault = { code: "ThrottlingException", status: 400 };
    await expect(organizations.get("acme")).rejects.toMatchObject({ failureClass: "transient" });
    store.fault = undefined;
    clock += MINUTE + 1;
    expect((await organizations.get("acme"))?.slug).toBe("acme");
  });

  it("by permission, somebody has to act", async () => {
    store.fault = { code: "AccessDeniedException", status: 400 };
    await expect(organizations.get("acme")).rejects.toMatchObject({
      failureClass: "configuration",
      fix: expect.any(String),
    });
  });

  it("a flood of made-up slugs does not become a flood of failing calls", async () => {
    put("acme");
    await organizations.get("acme");
    store.fault = { code: "ThrottlingException", status: 400 };
    clock += 2 * MINUTE;
    for (let index = 0; index < 50; index += 1) await organizations.get(`made-up-${index}`);
    expect(store.calls.length).toBeLessThan(10);
  });
});
