import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixedOrganizations, organizationsFromFolder } from "../../functions/config/organizations.ts";
import { ConfigurationError } from "../../functions/core/failure.ts";
import { isSlug, parseOrganization, parseOrganizations, withoutEffect } from "../../functions/core/organization.ts";

type Json = Record<string, unknown>;

const REQUIRED = {
  slug: "acme",
  organizationId: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
  clavex: { baseUrl: "https://id.acme.eu", webhookSecrets: ["ssm:primary"] },
  nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: "ssm:nextcloud-app-password" },
  identity: { scheme: "user_oidc", providerId: 1 },
};

/** Everything that can be said, as the documentation shows it. */
const EXAMPLE = {
  ...REQUIRED,
  clavex: { ...REQUIRED.clavex, apiKey: "ssm:clavex-api-key" },
  nextcloud: { ...REQUIRED.nextcloud, skeleton: "default" },
  identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
  scope: { groups: [], verifiedEmailOnly: false },
  groups: { managed: ["*"], never: [], always: [], prefix: "", adopt: [] },
  quota: { default: "5 GB", byGroup: { Finance: "50 GB" }, attribute: "nextcloud_quota" },
  deprovision: { suspended: "disable", deleted: "disable", outOfScope: "disable", erased: "disable", graceDays: 30 },
  reconcile: { maxDeprovisions: { count: 10, percent: 5 }, maxLeaves: { count: 50, percent: 10 } },
};

const parse = (document: unknown, scheme: "ssm" | "env" = "ssm") =>
  parseOrganization({ source: "acme.json", text: JSON.stringify(document) }, scheme);
const problemsOf = (document: unknown, scheme: "ssm" | "env" = "ssm"): string[] =>
  parse(document, scheme).problems ?? [];
/** The example with one part of it changed. */
const withPart = (part: keyof typeof EXAMPLE, change: Json): Json => ({
  ...EXAMPLE,
  [part]: { ...(EXAMPLE[part] as Json), ...change },
});

describe("an organization's document", () => {
  it("is accepted as the documentation shows it", () => {
    expect(parse(EXAMPLE).organization).toEqual({
      reservedPrefixes: [],
      ...EXAMPLE,
      identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false },
      quota: { default: 5 * 1024 ** 3, byGroup: { Finance: 50 * 1024 ** 3 }, attribute: "nextcloud_quota" },
    });
  });

  it("may leave out all that has a default", () => {
    expect(parse(REQUIRED).organization).toEqual({
      reservedPrefixes: [],
      ...REQUIRED,
      nextcloud: { ...REQUIRED.nextcloud, skeleton: "default" },
      identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false },
      scope: { groups: [], verifiedEmailOnly: false },
      groups: { managed: ["*"], never: [], always: [], prefix: "", adopt: [] },
      quota: { byGroup: {}, attribute: "nextcloud_quota" },
      deprovision: {
        suspended: "disable",
        deleted: "disable",
        outOfScope: "disable",
        erased: "disable",
        graceDays: 30,
      },
      reconcile: { maxDeprovisions: { percent: 5 }, maxLeaves: { count: 50, percent: 10 } },
    });
  });

  it("may leave out a part of a part", () => {
    const document = {
      ...REQUIRED,
      groups: { never: ["Secret*"] },
      quota: {},
      deprovision: { graceDays: 0 },
      reconcile: { maxDeprovisions: { count: 3 } },
    };
    expect(parse(document).organization).toMatchObject({
      groups: { managed: ["*"], never: ["Secret*"] },
      quota: { byGroup: {} },
      deprovision: { suspended: "disable", graceDays: 0 },
      reconcile: { maxDeprovisions: { count: 3, percent: 5 } },
    });
  });

  it("means user_oidc when the identity names no scheme", () => {
    const { organization } = parse({ ...REQUIRED, identity: { providerId: 7 } });
    expect(organization?.identity).toEqual({
      scheme: "user_oidc",
      providerId: 7,
      uniqueUserIds: true,
      providerBasedIds: false,
    });
  });

  it.each([
    [{ scheme: "database" }],
    [{ scheme: "sociallogin", providerName: "clavex" }],
  ])("may have the identity %j", (identity) => {
    expect(parse({ ...REQUIRED, identity }).organization?.identity).toEqual(identity);
  });

  it("has its organization's id in lower case, as Clavex writes it", () => {
    const { organization } = parse({ ...REQUIRED, organizationId: REQUIRED.organizationId.toUpperCase() });
    expect(organization?.organizationId).toBe(REQUIRED.organizationId);
  });

  it.each([
    ["https://id.acme.eu/", "https://id.acme.eu"],
    ["https://id.acme.eu/clavex//", "https://id.acme.eu/clavex"],
    ["HTTPS://ID.acme.eu:443", "https://id.acme.eu"],
    ["https://id.acme.eu:8443/a", "https://id.acme.eu:8443/a"],
  ])("has the base URL %s as %s", (baseUrl, normalised) => {
    expect(parse(withPart("nextcloud", { baseUrl })).organization?.nextcloud.baseUrl).toBe(normalised);
  });

  it.each(["none", "None"])("may have the quota %s: unlimited", (quota) => {
    expect(parse(withPart("quota", { default: quota })).organization?.quota.default).toBe("none");
  });
});

describe("a required field", () => {
  it.each(Object.keys(REQUIRED))("%s that is missing is named", (key) => {
    const { [key as "slug"]: _, ...rest } = REQUIRED;
    expect(problemsOf(rest)).toEqual([expect.stringMatching(new RegExp(`^acme\\.json: ${key}: `))]);
  });

  it.each([
    ["clavex", "baseUrl"],
    ["clavex", "webhookSecrets"],
    ["nextcloud", "baseUrl"],
    ["nextcloud", "username"],
    ["nextcloud", "password"],
    ["identity", "providerId"],
  ] as const)("%s.%s that is missing is named", (part, key) => {
    expect(problemsOf(withPart(part, { [key]: undefined }))).toEqual([
      expect.stringMatching(new RegExp(`^acme\\.json: ${part}\\.${key}: `)),
    ]);
  });

  it("webhookSecrets needs one at least, or an API key with which reconciliation does the work alone", () => {
    const without = withPart("clavex", { webhookSecrets: [], apiKey: undefined });
    expect(problemsOf(without)).toEqual([
      expect.stringMatching(/^acme\.json: clavex\.webhookSecrets: needs at least one/),
    ]);
    expect(problemsOf(withPart("clavex", { webhookSecrets: [], apiKey: "ssm:key" }))).toEqual([]);
  });
});

describe("an unknown key", () => {
  it.each([
    ["acme.json: unknown key", { ...EXAMPLE, colour: "red" }],
    ["acme.json: clavex: unknown key", withPart("clavex", { colour: "red" })],
    ["acme.json: nextcloud: unknown key", withPart("nextcloud", { colour: "red" })],
    ["acme.json: identity: unknown key", withPart("identity", { colour: "red" })],
    ["acme.json: identity: unknown key", { ...EXAMPLE, identity: { scheme: "database", colour: "red" } }],
    [
      "acme.json: identity: unknown key",
      { ...EXAMPLE, identity: { scheme: "sociallogin", providerName: "clavex", colour: "red" } },
    ],
    ["acme.json: scope: unknown key", withPart("scope", { colour: "red" })],
    ["acme.json: groups: unknown key", withPart("groups", { colour: "red" })],
    ["acme.json: quota: unknown key", withPart("quota", { colour: "red" })],
    ["acme.json: deprovision: unknown key", withPart("deprovision", { colour: "red" })],
    ["acme.json: reconcile: unknown key", withPart("reconcile", { colour: "red" })],
    [
      "acme.json: reconcile.maxDeprovisions: unknown key",
      { ...EXAMPLE, reconcile: { maxDeprovisions: { colour: "red" } } },
    ],
  ])("is refused: %s", (problem, document) => {
    expect(problemsOf(document)).toEqual([`${problem} "colour": remove it`]);
  });

  it("is refused even where it is a prototype's", () => {
    const text = JSON.stringify(EXAMPLE).replace(/\}$/, ',"__proto__":{"slug":"x"},"constructor":1}');
    const { problems = [] } = parseOrganization({ source: "acme.json", text }, "ssm");
    expect(problems.join()).toContain("constructor");
  });
});

describe("every problem", () => {
  it("is reported at once, each with its file and path", () => {
    const problems = problemsOf({
      slug: "Acme GmbH",
      organizationId: "acme",
      clavex: { baseUrl: "id.acme.eu", webhookSecrets: ["ssm:primary", "hunter2"], extra: true },
      nextcloud: { baseUrl: "http://nextcloud.acme.eu", username: "", password: 5 },
      identity: { scheme: "user_oidc", providerId: "1" },
      scope: { groups: [""] },
      groups: { managed: "all", always: ["admin"] },
      quota: { default: "5 GiB", byGroup: { Finance: "lots", Sales: "1 GB" } },
      deprovision: { suspended: "burn", graceDays: -1 },
      reconcile: { maxDeprovisions: { count: 1.5, percent: 101 } },
      colour: "red",
    });
    for (const path of [
      "slug: ",
      "organizationId: ",
      "clavex.baseUrl: ",
      "clavex.webhookSecrets.1: ",
      'clavex: unknown key "extra"',
      "nextcloud.baseUrl: ",
      "nextcloud.username: ",
      "nextcloud.password: ",
      "identity.providerId: ",
      "scope.groups.0: ",
      "groups.managed: ",
      "groups.always.0: ",
      "quota.default: ",
      "quota.byGroup.Finance: ",
      "deprovision.suspended: ",
      "deprovision.graceDays: ",
      "reconcile.maxDeprovisions.count: ",
      "reconcile.maxDeprovisions.percent: ",
      'unknown key "colour"',
    ]) {
      expect(problems.filter((problem) => problem.startsWith(`acme.json: ${path}`))).toHaveLength(1);
    }
    expect(problems).toHaveLength(19);
  });

  it("is reported at once, those that need two fields to see included", () => {
    const problems = problemsOf(
      {
        ...REQUIRED,
        slug: "Acme",
        clavex: { ...REQUIRED.clavex, webhookSecrets: ["env:PRIMARY"] },
        identity: { providerId: 1, providerBasedIds: true },
        scope: { groups: ["Staff"] },
      },
      "ssm",
    );
    for (const path of ["slug: ", "clavex.webhookSecrets.0: ", "identity.providerIdentifier: ", "scope.groups: "]) {
      expect(problems.filter((problem) => problem.startsWith(`acme.json: ${path}`))).toHaveLength(1);
    }
  });

  it("of a document that is no object, or no JSON, names the file", () => {
    for (const document of [null, [], "acme", 5]) {
      expect(problemsOf(document)).toEqual([expect.stringMatching(/^acme\.json: /)]);
    }
    for (const text of ["", "{", "{'slug':'acme'}", "slug: acme", '{"slug":"acme",}']) {
      const { problems } = parseOrganization({ source: "acme.json", text }, "ssm");
      expect(problems).toEqual([expect.stringMatching(/^acme\.json: is not JSON/)]);
    }
  });
});

describe("a quota", () => {
  it.each(["5 GiB", "5GiB", "5 gib", "5 Gi"])("of %s is refused, and the message says what to write", (quota) => {
    const [problem, ...others] = problemsOf(withPart("quota", { default: quota }));
    expect(others).toEqual([]);
    expect(problem).toMatch(/^acme\.json: quota\.default: /);
    expect(problem).toContain(`"${quota}"`);
    expect(problem).toContain('write "5 GB"');
  });

  it.each([
    "",
    "lots",
    "-1 GB",
    "5 GB GB",
    "5,5 GB",
    "99999999 PB",
    "unlimited",
    "default",
  ])("of %j is refused", (quota) => {
    expect(problemsOf(withPart("quota", { byGroup: { Finance: quota } }))).toEqual([
      expect.stringMatching(/^acme\.json: quota\.byGroup\.Finance: /),
    ]);
  });

  it("is a text: a number has no unit", () => {
    expect(problemsOf(withPart("quota", { default: 5 }))).toHaveLength(1);
  });
});

describe("a secret", () => {
  const values = ["hunter2hunter2hunter2", "00112233445566778899aabbccddeeff".repeat(2), "clv_abc", "ssm:", "ssm:a/b"];
  it.each(values)("given as a value (%s) is refused without being printed", (value) => {
    const document = {
      ...EXAMPLE,
      clavex: { ...EXAMPLE.clavex, webhookSecrets: [value], apiKey: value },
      nextcloud: { ...EXAMPLE.nextcloud, password: value },
    };
    const problems = problemsOf(document);
    for (const path of ["clavex.webhookSecrets.0", "clavex.apiKey", "nextcloud.password"]) {
      expect(problems.filter((problem) => problem.startsWith(`acme.json: ${path}: must be a reference`))).toHaveLength(
        1,
      );
    }
    if (value !== "ssm:") expect(problems.join("\n")).not.toContain(value);
  });

  it("is not printed either when the document is no JSON where the secret stands", () => {
    for (const text of [
      '{"clavex":{"apiKey": clv_topsecret}}',
      '{"clavex":{"apiKey": "clv_topsecret" "x"}}',
      "{'clavex':{'apiKey':'clv_topsecret'}}",
    ]) {
      const { problems = [] } = parseOrganization({ source: "acme.json", text }, "ssm");
      expect(problems).toHaveLength(1);
      // A JSON parser likes to show some ten characters around the place.
      for (const part of ["clv_to", "topsec", "secret"]) expect(problems.join()).not.toContain(part);
    }
  });

  it.each(["../other", "a b", "a\n", "é", "a?b"])("reference cannot leave its own folder: ssm:%s", (name) => {
    expect(problemsOf(withPart("clavex", { apiKey: `ssm:${name}` }))).toHaveLength(1);
  });

  it("comes from the environment on one machine only, from SSM on AWS only", () => {
    const local = {
      ...REQUIRED,
      clavex: { ...REQUIRED.clavex, webhookSecrets: ["env:A", "env:B"], apiKey: "env:C" },
      nextcloud: { ...REQUIRED.nextcloud, password: "env:D" },
    };
    expect(problemsOf(local, "env")).toEqual([]);
    expect(problemsOf(EXAMPLE, "ssm")).toEqual([]);
    const paths = ["clavex.webhookSecrets.0", "clavex.webhookSecrets.1", "clavex.apiKey", "nextcloud.password"];
    expect(problemsOf(local, "ssm")).toEqual(
      paths.map((path) => expect.stringMatching(new RegExp(`^acme\\.json: ${path}: .*on AWS write "ssm:NAME"`))),
    );
    expect(problemsOf(EXAMPLE, "env")).toEqual(
      paths
        .filter((path) => !path.endsWith("1"))
        .map((path) => expect.stringMatching(new RegExp(`^acme\\.json: ${path}: .*on one machine write "env:NAME"`))),
    );
  });
});

describe("a base URL", () => {
  it.each([
    "http://localhost:8080",
    "http://127.0.0.1",
    "http://127.1.2.3:80/nextcloud",
    "http://[::1]:8080",
  ])("may be %s: it stays on this machine", (baseUrl) => {
    expect(problemsOf(withPart("clavex", { baseUrl }))).toEqual([]);
  });

  it.each([
    "http://id.acme.eu",
    "http://localhost.acme.eu",
    "http://127.0.0.1.acme.eu",
    "http://10.0.0.1",
    "http://192.168.1.1",
    "http://0.0.0.0",
    "http://[::2]",
    "http://[::ffff:7f00:1]",
    "http://169.254.169.254",
    "ftp://id.acme.eu",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//id.acme.eu",
    "id.acme.eu",
    "",
    "https://",
    "https://user:pass@id.acme.eu",
    "https://user@id.acme.eu",
    "https://id.acme.eu/?a=1",
    "https://id.acme.eu/#a",
  ])("must not be %j", (baseUrl) => {
    for (const part of ["clavex", "nextcloud"] as const) {
      expect(problemsOf(withPart(part, { baseUrl }))).toEqual([
        expect.stringMatching(new RegExp(`^acme\\.json: ${part}\\.baseUrl: `)),
      ]);
    }
  });

  it("does not print the credentials that it must not hold", () => {
    expect(problemsOf(withPart("clavex", { baseUrl: "https://user:hunter2@id.acme.eu" })).join()).not.toContain(
      "hunter2",
    );
  });
});

describe("what needs something else", () => {
  it("is a scope: it needs the API key", () => {
    const { apiKey: _, ...withoutKey } = EXAMPLE.clavex;
    const document = { ...EXAMPLE, clavex: withoutKey, scope: { groups: ["Staff"] } };
    expect(problemsOf(document)).toEqual([expect.stringMatching(/^acme\.json: scope\.groups: needs clavex\.apiKey/)]);
    expect(problemsOf({ ...document, scope: { groups: [] } })).toEqual([]);
    expect(problemsOf({ ...EXAMPLE, scope: { groups: ["Staff"] } })).toEqual([]);
  });

  it("are ids by provider: they need the provider's identifier", () => {
    const identity = { scheme: "user_oidc", providerId: 1, providerBasedIds: true };
    expect(problemsOf({ ...EXAMPLE, identity })).toEqual([
      expect.stringMatching(/^acme\.json: identity\.providerIdentifier: /),
    ]);
    expect(problemsOf({ ...EXAMPLE, identity: { ...identity, providerIdentifier: "clavex" } })).toEqual([]);
  });
});

describe("a value out of bounds", () => {
  it.each<[string, Json]>([
    ["identity.providerId", withPart("identity", { providerId: 0 })],
    ["identity.providerId", withPart("identity", { providerId: 1.5 })],
    ["identity.providerId", withPart("identity", { providerId: "1" })],
    ["identity.scheme", withPart("identity", { scheme: "ldap" })],
    ["identity", { ...EXAMPLE, identity: { scheme: "database", providerId: 1 } }],
    ["identity.providerName", { ...EXAMPLE, identity: { scheme: "sociallogin" } }],
    ["identity.providerName", { ...EXAMPLE, identity: { scheme: "sociallogin", providerName: "a/b" } }],
    ["groups.always.0", withPart("groups", { always: ["admin"] })],
    ["groups.managed.0", withPart("groups", { managed: [5] })],
    ["groups.never", withPart("groups", { never: "Secret" })],
    ["quota.attribute", withPart("quota", { attribute: "" })],
    ["deprovision.suspended", withPart("deprovision", { suspended: "Disable" })],
    ["deprovision.deleted", withPart("deprovision", { deleted: true })],
    ["deprovision.outOfScope", withPart("deprovision", { outOfScope: null })],
    ["deprovision.graceDays", withPart("deprovision", { graceDays: 1.5 })],
    ["reconcile.maxDeprovisions.count", { ...EXAMPLE, reconcile: { maxDeprovisions: { count: -1 } } }],
    ["reconcile.maxDeprovisions.percent", { ...EXAMPLE, reconcile: { maxDeprovisions: { percent: 100.1 } } }],
    ["reconcile.maxDeprovisions", { ...EXAMPLE, reconcile: { maxDeprovisions: 10 } }],
    ["scope", { ...EXAMPLE, scope: [] }],
    ["scope", { ...EXAMPLE, scope: null }],
  ])("is refused: %s", (path, document) => {
    expect(problemsOf(document)).toEqual([expect.stringMatching(new RegExp(`^acme\\.json: ${path}: `))]);
  });
});

describe("a slug", () => {
  it.each(["a", "acme", "acme-eu", "7", "a".repeat(63)])("may be %s", (slug) => {
    expect(isSlug(slug)).toBe(true);
    expect(problemsOf({ ...EXAMPLE, slug })).toEqual([]);
  });

  it.each([
    "",
    "-",
    "-acme",
    "acme-",
    "Acme",
    "a_b",
    "a.b",
    "a/b",
    "..",
    "acme\n",
    "açme",
    "a b",
    "a".repeat(64),
  ])("must not be %j", (slug) => {
    expect(isSlug(slug)).toBe(false);
    expect(problemsOf({ ...EXAMPLE, slug })).toHaveLength(1);
  });
});

describe("what a document says without effect", () => {
  const notesOf = (identity: Json, groups: Json): string[] => {
    const { organization } = parse({ ...EXAMPLE, identity, groups });
    if (!organization) throw new Error("the document is not valid");
    return withoutEffect(organization);
  };
  const hashed = { scheme: "user_oidc", providerId: 1 };
  const raw = { ...hashed, uniqueUserIds: false };
  const providerBased = { ...raw, providerBasedIds: true, providerIdentifier: "acme" };

  it("is groups.adopt with hashed ids", () => {
    expect(notesOf(hashed, { adopt: ["Sales"] })).toEqual([expect.stringContaining("groups.adopt does nothing")]);
    for (const identity of [raw, providerBased, { scheme: "database" }])
      expect(notesOf(identity, { adopt: ["Sales"] })).toEqual([]);
  });

  it("is `admin` in groups.managed where no group gets that id", () => {
    const noted = [expect.stringContaining('groups.managed names "admin"')];
    expect(notesOf(hashed, { managed: ["admin"] })).toEqual(noted);
    expect(notesOf(providerBased, { managed: ["*", "admin"] })).toEqual(noted);
    expect(notesOf(raw, { managed: ["admin"], prefix: "acme-" })).toEqual(noted);
    expect(notesOf(raw, { managed: ["admin", "min"], prefix: "ad" })).toEqual([]);
    expect(notesOf(raw, { managed: ["admin"] })).toEqual([]);
  });

  it("is nothing of a usual one", () => {
    expect(notesOf(hashed, {})).toEqual([]);
  });
});

describe("several documents", () => {
  const document = (source: string, change: Json) => ({ source, text: JSON.stringify({ ...EXAMPLE, ...change }) });
  const OTHER_ID = "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11";
  const problemsOfAll = (...documents: { source: string; text: string }[]): string[] => {
    try {
      parseOrganizations(documents, "ssm");
    } catch (error) {
      if (error instanceof ConfigurationError) return error.problems;
    }
    return [];
  };

  it("are accepted together when slugs and ids are different", () => {
    const documents = [document("a.json", {}), document("b.json", { slug: "other", organizationId: OTHER_ID })];
    expect(parseOrganizations(documents, "ssm").map(({ slug }) => slug)).toEqual(["acme", "other"]);
    expect(parseOrganizations([], "ssm")).toEqual([]);
  });

  it("must not have the same slug", () => {
    expect(problemsOfAll(document("a.json", {}), document("b.json", { organizationId: OTHER_ID }))).toEqual([
      "a.json: slug acme is also that of b.json",
      "b.json: slug acme is also that of a.json",
    ]);
  });

  it("must not have the same organization, in whatever letters", () => {
    const organizationId = REQUIRED.organizationId.toUpperCase();
    expect(problemsOfAll(document("a.json", {}), document("b.json", { slug: "other", organizationId }))).toEqual([
      `a.json: organizationId ${REQUIRED.organizationId} is also that of b.json`,
      `b.json: organizationId ${REQUIRED.organizationId} is also that of a.json`,
    ]);
  });

  it("report the problems of all of them at once", () => {
    const problems = problemsOfAll(
      document("a.json", { colour: "red" }),
      { source: "b.json", text: "{" },
      document("c.json", {}),
      document("d.json", {}),
    );
    const files = problems.map((problem) => problem.slice(0, 6));
    expect(files.sort()).toEqual(["a.json", "b.json", "c.json", "c.json", "d.json", "d.json"]);
  });

  it("are a configuration failure that holds every problem in its message", () => {
    expect(() =>
      parseOrganizations([document("a.json", { colour: "red" }), { source: "b.json", text: "" }], "ssm"),
    ).toThrow(
      expect.objectContaining({
        failureClass: "configuration",
        fix: expect.any(String),
        message: expect.stringMatching(/^a\.json: .*\nb\.json: /),
      }),
    );
  });
});

describe("a folder of organizations", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "organizations-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const LOCAL = {
    ...REQUIRED,
    clavex: { ...REQUIRED.clavex, webhookSecrets: ["env:WEBHOOK"], apiKey: "env:API_KEY" },
    nextcloud: { ...REQUIRED.nextcloud, password: "env:PASSWORD" },
  };
  const write = (name: string, content: unknown): Promise<void> =>
    writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));

  it("gives every *.json file in it, and nothing else", async () => {
    await write("b.json", LOCAL);
    await write("a.json", { ...LOCAL, slug: "other", organizationId: "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11" });
    await write("README.md", "not one");
    await write("c.json.bak", "not one");
    await mkdir(join(folder, "folder"));
    const { organizations, refused } = await organizationsFromFolder(folder);
    expect(organizations.map(({ slug }) => slug)).toEqual(["other", "acme"]);
    expect(refused).toEqual([]);
  });

  it("that is empty or missing gives none", async () => {
    const nothing = { organizations: [], refused: [] };
    expect(await organizationsFromFolder(folder)).toEqual(nothing);
    expect(await organizationsFromFolder(join(folder, "missing"))).toEqual(nothing);
  });

  it("names the file of every problem, with its path", async () => {
    await write("a.json", { ...LOCAL, slug: "Acme" });
    await write("b.json", "{");
    await expect(organizationsFromFolder(folder)).rejects.toMatchObject({
      problems: [
        expect.stringMatching(new RegExp(`^${join(folder, "a.json")}: slug: `)),
        expect.stringMatching(new RegExp(`^${join(folder, "b.json")}: is not JSON`)),
      ],
    });
  });

  it("refuses references to SSM, and duplicates among files", async () => {
    await write("a.json", LOCAL);
    await write("b.json", LOCAL);
    await write("c.json", REQUIRED);
    const { problems } = (await organizationsFromFolder(folder).catch((error) => error)) as ConfigurationError;
    expect(problems.filter((problem) => problem.includes("b.json: slug acme is also that of"))).toHaveLength(1);
    expect(problems.filter((problem) => problem.includes("c.json: "))).toHaveLength(2);
  });

  it("that is a file is a configuration error", async () => {
    await write("file", "");
    await expect(organizationsFromFolder(join(folder, "file"))).rejects.toBeInstanceOf(ConfigurationError);
  });

  it("with a *.json that cannot be read is a configuration error that names it", async () => {
    await mkdir(join(folder, "a.json"));
    await expect(organizationsFromFolder(folder)).rejects.toMatchObject({
      failureClass: "configuration",
      message: expect.stringContaining(join(folder, "a.json")),
    });
  });

  it("with a wrong file stops that organization alone", async () => {
    await write("a.json", LOCAL);
    await write("b.json", { ...LOCAL, slug: "other", colour: "red" });
    await write("c.json", "{");
    const { organizations, refused } = await organizationsFromFolder(folder);
    const all = fixedOrganizations(organizations, refused);
    expect(await all.slugs()).toEqual(["acme", "c", "other"]);
    expect((await all.get("acme"))?.slug).toBe("acme");
    for (const slug of ["other", "c"]) await expect(all.get(slug)).rejects.toBeInstanceOf(ConfigurationError);
  });

  it.each([
    ["a wrong field", { colour: "red" }, "copy"],
    ["a wrong JSON type", { groups: "all" }, "copy"],
  ])("with a file that has %s and the slug of one that works names it by its file", async (_what, wrong, name) => {
    await write("a.json", LOCAL);
    await write("copy.json", { ...LOCAL, ...wrong });
    const { organizations, refused } = await organizationsFromFolder(folder);
    const all = fixedOrganizations(organizations, refused);
    expect(await all.slugs()).toEqual(["acme", name]);
    expect((await all.get("acme"))?.slug).toBe("acme");
    await expect(all.get(name)).rejects.toThrow(join(folder, "copy.json"));
  });

  it("with a file that is no JSON, and named as another one's slug, names it with its ending", async () => {
    await write("a.json", LOCAL);
    await write("acme.json", "{");
    await write("b.json", { ...LOCAL, slug: "wrong", colour: "red" });
    await write("c.json", { ...LOCAL, slug: "wrong", colour: "blue" });
    const { organizations, refused } = await organizationsFromFolder(folder);
    expect(organizations.map(({ slug }) => slug)).toEqual(["acme"]);
    expect(refused.map(({ slug, error }) => [slug, error.problems.length])).toEqual([
      ["acme.json", 1],
      ["wrong", 2],
    ]);
  });

  it("in which two cannot stand together stops those two alone", async () => {
    const id = (digit: number) => `${digit}b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11`;
    await write("a.json", LOCAL);
    const elsewhere = { ...LOCAL.clavex, baseUrl: "https://id.other.eu" };
    await write("b.json", { ...LOCAL, slug: "beta", organizationId: id(1), clavex: elsewhere });
    const own = { scheme: "user_oidc", providerId: 7 };
    await write("c.json", { ...LOCAL, slug: "gamma", organizationId: id(2), clavex: elsewhere, identity: own });
    const { organizations, refused } = await organizationsFromFolder(folder);
    expect(organizations.map(({ slug }) => slug)).toEqual(["gamma"]);
    expect(refused.map(({ slug }) => slug)).toEqual(["acme", "beta"]);
    for (const { error } of refused) {
      expect(error.problems).toEqual([expect.stringContaining("acme and beta could have accounts of the same id")]);
      for (const name of ["a.json", "b.json"]) expect(error.message).toContain(join(folder, name));
    }
  });
});

describe("organizations that are already validated", () => {
  it("are found by their slugs, and others are not", async () => {
    const { organization } = parse(EXAMPLE);
    if (!organization) throw new Error("the example is not valid");
    const organizations = fixedOrganizations([organization]);
    expect(await organizations.get("acme")).toBe(organization);
    for (const slug of ["", "other", "__proto__", "constructor", "ACME"]) {
      expect(await organizations.get(slug)).toBeUndefined();
    }
    expect(await organizations.slugs()).toEqual(["acme"]);
  });
});
