import { createHash, randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ClavexUser } from "../../functions/simulated/clavex.ts";
import { type Office, openOffice } from "../support/office.ts";

const POLICY = {
  scope: { groups: [] },
  groups: { managed: ["*"], never: ["secret*"], always: ["everyone"] },
  quota: { default: "5 GB", byGroup: { finance: "50 GB", eng: "10 GB" } },
  deprovision: { deleted: "delete", graceDays: 0 },
};

describe("explain", () => {
  let office: Office;
  let ada: ClavexUser;

  beforeAll(async () => {
    office = await openOffice(POLICY);
    office.nextcloud.addGroup("everyone");
    ada = office.person({ email: "ada@acme.example" }, ["eng", "finance", "secret-1", "x\u0001y"]);
  });
  afterEach(() => office.stop());
  afterAll(() => office.close());

  const explain = async (user: string, ...args: string[]) => {
    const { code, output, lines } = await office.command("explain", "--organization", "acme", "--user", user, ...args);
    /** What is said about each subject, in order; a line without one goes on with the last. */
    const said = new Map<string, string[]>();
    let last = "";
    for (const line of lines.filter((each) => each !== "")) {
      const [, what = "", text = ""] = /^(.{12}) (.*)$/.exec(line) ?? [];
      last = what.trim() === "" ? last : what.trim();
      said.set(last, [...(said.get(last) ?? []), text]);
    }
    return { code, output, said: Object.fromEntries(said) };
  };

  test("a person without an account yet: the id and its formula, each group and why, the quota's rule, what would be done", async () => {
    const { code, said } = await explain(ada.id);
    const id = createHash("sha256").update(`1_0_${ada.id}`).digest("hex");
    expect(code).toBe(0);
    expect(said).toEqual({
      Person: ["Ada Lovelace <ada@acme.example>"],
      Subject: [ada.id],
      "Account id": [id, '= sha256("1_0_" and the subject), as user_oidc does with unique user ids'],
      State: ["active"],
      Group: [
        `eng: joins Nextcloud group ${office.groupId("eng")}`,
        `finance: joins Nextcloud group ${office.groupId("finance")}`,
        "secret-1: left out by groups.never",
        "x y: cannot be a Nextcloud group",
        "everyone: in groups.always",
      ],
      Quota: ["50 GB (rule: group finance)"],
      Nextcloud: ["has no account of this id"],
      Ledger: ["knows nothing of this person"],
      "To do": [
        "account  is created",
        'name     "Ada Lovelace"',
        'e-mail   "ada@acme.example"',
        'quota    "50 GB" (group finance)',
        "group    + eng",
        "group    + finance",
        "group    + everyone",
      ],
      Note: ["group x y is skipped: the name has control characters"],
    });
    expect(office.nextcloud.requests.every(({ method }) => method === "GET")).toBe(true);
  });

  test("is found by e-mail address, in any letter case, as by id", async () => {
    // Somebody whose address holds the same text comes first in Clavex's search.
    office.person({ email: "a.ada@acme.example" });
    const { output } = await explain(ada.id);
    expect((await explain("ada@acme.example")).output).toBe(output);
    expect((await explain("ADA@Acme.Example")).output).toBe(output);
    expect((await explain(ada.id.toUpperCase())).output).toBe(output);
  });

  test("--json prints JSON and nothing else", async () => {
    const { code, output } = await explain(ada.id, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      organization: "acme",
      subject: ada.id,
      names: ["eng", "finance", "secret-1", "x\u0001y"],
      desired: {
        subject: ada.id,
        accountId: office.accountId(ada),
        state: "active",
        displayName: "Ada Lovelace",
        email: ada.email,
        quota: 50 * 1024 ** 3,
        quotaRule: "group finance",
        groups: expect.arrayContaining([expect.objectContaining({ gid: office.groupId("eng"), source: "clavex" })]),
        groupsKnown: true,
      },
      plan: { operations: [{ kind: "upsert" }, { kind: "join" }, { kind: "join" }, { kind: "join" }] },
    });
  });

  test("which rule gave the quota: the person's attribute before the groups, the default last", async () => {
    const [own, none, bad] = [office.person({}, ["finance"]), office.person(), office.person()];
    office.clavex.setAttributes(office.slug, own.id, { nextcloud_quota: "1 GB" });
    office.clavex.setAttributes(office.slug, bad.id, { nextcloud_quota: "5 GiB" });
    expect((await explain(own.id)).said.Quota).toEqual(["1 GB (rule: attribute)"]);
    expect((await explain(none.id)).said.Quota).toEqual(["5 GB (rule: default)"]);
    const { said } = await explain(bad.id);
    expect(said.Quota).toEqual(["5 GB (rule: default)"]);
    expect(said.Note).toEqual([
      expect.stringMatching(/^the attribute nextcloud_quota is passed over: "5 GiB" would be read/),
    ]);
  });

  test("a local account under the person's id: nothing would be done, and why", async () => {
    const person = office.person();
    office.nextcloud.addLocalUser({ id: office.accountId(person), displayName: "Local", groups: ["everyone"] });
    const { code, said } = await explain(person.id);
    expect(code).toBe(0);
    expect(said.Nextcloud).toEqual([expect.stringMatching(/^enabled, backend Database, Local, .*groups: everyone$/)]);
    expect(said["To do"]).toEqual([
      `nothing: account ${office.accountId(person)} belongs to Nextcloud's backend Database, not to user_oidc; nothing was touched`,
    ]);
  });

  test("from the first job to the last: what Nextcloud and the ledger hold, then disabled, then to be deleted", async () => {
    const person = office.person({ first_name: "Grace", last_name: "Hopper" }, ["eng"]);
    const pipeline = await office.start();
    const provision = () => office.command("provision", "--organization", "acme", "--user", person.id);
    await provision();
    await pipeline.printed(new RegExp(`subject=${person.id} .*result=applied`));
    const active = await explain(person.id);
    expect(active.said).toMatchObject({
      Nextcloud: [
        `enabled, backend user_oidc, Grace Hopper, ${person.email}, quota 10 GB, groups: ${["everyone", office.groupId("eng")].sort().join(", ")}`,
      ],
      Ledger: [
        expect.stringMatching(
          `^active, applied as of \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ, memberships by us: ${office.groupId("eng")}$`,
        ),
      ],
      "To do": ["nothing, everything is in sync"],
    });

    office.clavex.deleteUser(office.slug, person.id);
    const gone = await explain(person.id);
    expect(gone.said).toMatchObject({
      Person: ["not in Clavex (any more)"],
      State: ["deleted"],
      Quota: ["left alone: no rule gives one"],
      "To do": ["account  is disabled (gone from Clavex)"],
    });
    expect(JSON.parse((await explain(person.id, "--json")).output)).toMatchObject({
      desired: { state: "deleted", displayName: "", email: "", quotaRule: "none", groups: [], groupsKnown: true },
      entry: { state: "active", desiredHash: expect.any(String), readAt: expect.any(Number), disabledByUs: false },
      plan: { operations: [{ kind: "disable" }] },
    });
    expect(await explain(person.email)).toMatchObject({
      code: 1,
      output: `--user: Clavex has nobody with the e-mail address ${person.email}; of somebody who is gone, give the subject (UUID)\n`,
    });

    await provision();
    await pipeline.printed(new RegExp(`subject=${person.id} .*operations=\\["disable"\\]`));
    // What the ledger says is known while the pipeline does not run, too.
    await office.stop();
    const deletable = await explain(person.id);
    expect(deletable.said.Nextcloud?.[0]).toMatch(/^disabled, /);
    expect(deletable.said.Ledger?.[0]).toMatch(/^deleted, applied as of .*, disabled by us, memberships by us: /);
    expect(deletable.said["To do"]).toEqual([
      "account  is deleted with its files (gone from Clavex, and the grace days are over)",
    ]);
  });

  test("somebody who was never known: gone, without an account, nothing to do", async () => {
    const { code, said } = await explain(randomUUID());
    expect(code).toBe(0);
    expect(said).toMatchObject({
      Person: ["not in Clavex (any more)"],
      State: ["deleted"],
      Nextcloud: ["has no account of this id"],
      Ledger: ["knows nothing of this person"],
      "To do": ["nothing, everything is in sync"],
    });
  });

  test("somebody whose name Nextcloud cannot hold: what is taken away all the same, and why no more is done", async () => {
    const person = office.person({ first_name: "x".repeat(300) });
    office.nextcloud.simulateLogin({ providerId: 1, sub: person.id, claims: { name: "Ada" } });
    expect((await explain(person.id)).said["To do"]).toEqual([expect.stringMatching(/^nothing: the display name has/)]);
    office.nextcloud.addGroup(office.groupId("finance"));
    office.nextcloud.addMember(office.groupId("finance"), office.accountId(person));
    expect((await explain(person.id)).said["To do"]).toEqual([
      "group    - finance",
      expect.stringMatching(/^nothing more: the display name has/),
    ]);
    expect(JSON.parse((await explain(person.id, "--json")).output)).toMatchObject({
      plan: { operations: [{ kind: "leave" }], refusal: expect.stringMatching(/^the display name has/) },
    });
  });

  test("control characters in foreign data do not reach the terminal", async () => {
    const person = office.person({ first_name: "Ada\u001b[2J", last_name: "Love\u009blace\u202e" }, ["eng\u0007"]);
    office.nextcloud.simulateLogin({ providerId: 1, sub: person.id, claims: { name: "Old\u001b]0;x\u0007" } });
    const { output } = await explain(person.id);
    expect(output).toContain("Old ]0;x ");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(output).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  });

  test("a suspended person and one out of scope are told apart", async () => {
    const [suspended, outside] = [office.person({ is_active: false }, ["eng"]), office.person()];
    await office.configure({ ...POLICY, scope: { groups: ["eng"] } });
    const { said } = await explain(suspended.id);
    expect(said.State).toEqual(["suspended"]);
    expect(said.Group).toEqual(["eng: left alone until the person is active again"]);
    expect((await explain(outside.id)).said.State).toEqual(["outOfScope"]);
    await office.configure(POLICY);
  });

  test.each([
    ["ada", /--user: ada is neither a UUID nor an e-mail address/],
    ["nobody@acme.example", /Clavex has nobody with the e-mail address nobody@acme\.example/],
    ["../groups", /--user: \.\.\/groups is neither a UUID nor an e-mail address/],
  ])("--user %s is refused with a sentence", async (user, sentence) => {
    expect(await explain(user)).toMatchObject({ code: 1, output: expect.stringMatching(sentence) });
  });

  test("an unknown organization, and one without an API key", async () => {
    await office.addFile("keyless", {});
    const unknown = await office.command("explain", "--organization", "nobody", "--user", ada.id);
    expect(unknown).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^there is no organization nobody\nThere (is|are): .*\n$/),
    });
    const keyless = await office.command("explain", "--organization", "keyless", "--user", ada.id);
    expect(keyless).toMatchObject({
      code: 1,
      output: "organization keyless has no clavex.apiKey: nobody can be read from Clavex\n",
    });
  });
});
