import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { organizationSchema } from "../../functions/core/organization.ts";
import { createContext } from "../../functions/doctor/context.ts";
import { type LoginAccount, loginAccount, socialLoginAccount } from "../../functions/doctor/login.ts";
import { type Rehearsal, rehearse } from "../../functions/doctor/rehearsal.ts";
import type { OidcProvider } from "../../functions/nextcloud/providers.ts";
import { startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import type { Provider } from "../../functions/simulated/nextcloud-state.ts";
import { type Embedded, startEmbedded } from "../support/embedded.ts";
import { healthyScene, ORGANIZATION_ID, type Scene, SLUG } from "./scene.ts";

let embedded: Embedded;
let scene: Scene;

beforeAll(async () => {
  embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
});
afterAll(() => embedded.stop());
beforeEach(async () => {
  scene = await healthyScene(embedded);
});
afterEach(() => scene.close());

const provider = (): Provider => scene.nextcloud.providers[0] as Provider;
const mapper = (name: string) => scene.clavex.management(SLUG).mappers.find((each) => each.name === name);

async function rehearseAda(options: { userinfo?: boolean; active?: boolean } = {}): Promise<Rehearsal> {
  const context = createContext(scene.options);
  try {
    const person = await context.directory?.person(scene.ada.id);
    if (!person) throw new Error("Ada is gone");
    const groups = ["Engineering"];
    return await rehearse(context, {
      person: { ...person, active: options.active ?? true },
      map: { names: new Set(groups), unread: new Set(), isEmpty: false, isComplete: true, of: () => groups },
      userinfo: options.userinfo ?? false,
    });
  } finally {
    await context.close();
  }
}

const differing = ({ comparisons }: Rehearsal): string[] =>
  comparisons.flatMap(({ property, differs }) => (differs ? [property] : []));

function identity(value: Record<string, unknown>): void {
  const { clavex, nextcloud } = scene.options.organization;
  scene.options.organization = organizationSchema.parse({
    slug: SLUG,
    organizationId: ORGANIZATION_ID,
    clavex,
    nextcloud,
    identity: value,
  });
}

describe("rehearse", () => {
  it("finds the same account where everything is in order", async () => {
    const rehearsal = await rehearseAda();
    expect(differing(rehearsal)).toEqual([]);
    expect(rehearsal.comparisons.map(({ property, login }) => [property, login !== undefined])).toEqual([
      ["account id", true],
      ["name", false],
      ["e-mail", true],
      ["quota", false],
      ["groups", false],
    ]);
  });

  it("changes nothing", async () => {
    await rehearseAda();
    const methods = new Set([...scene.nextcloud.requests, ...scene.clavex.requests].map(({ method }) => method));
    expect([...methods]).toEqual(["GET"]);
  });

  it.each([
    ["the ids are made otherwise", () => Object.assign(provider(), { uniqueUid: false }), ["account id"]],
    ["another claim is the id", () => Object.assign(provider(), { mappingUid: "email" }), ["account id"]],
    [
      "the name is taken from another claim",
      () => Object.assign(provider(), { mappingDisplayName: "email" }),
      ["name"],
    ],
    [
      "a mapper fills the e-mail address with something else",
      () => Object.assign(mapper("nc-email") ?? {}, { mapper_type: "hardcoded", claim_value: "all@acme.example" }),
      ["e-mail"],
    ],
    [
      "the quota claim is another's",
      () => Object.assign(mapper("nc-quota") ?? {}, { mapper_type: "hardcoded", claim_value: "1 GB" }),
      ["quota"],
    ],
    [
      "logins set groups, and the claim does not come",
      () => {
        provider().groupProvisioning = true;
        Object.assign(mapper("nc-groups") ?? {}, { add_to_access_token: false });
      },
      ["groups"],
    ],
    [
      "a whitelist leaves the group out",
      () => Object.assign(provider(), { groupProvisioning: true, groupWhitelistRegex: "/^Sales/" }),
      ["groups"],
    ],
  ])("finds it when %s", async (_, breakIt, properties) => {
    breakIt();
    expect(differing(await rehearseAda())).toEqual(properties);
  });

  it("finds no difference when a login sets the same groups", async () => {
    provider().groupProvisioning = true;
    const rehearsal = await rehearseAda();
    expect(differing(rehearsal)).toEqual([]);
    expect(rehearsal.comparisons.at(-1)).toMatchObject({ login: "Engineering", pipeline: "Engineering" });
  });

  describe("with group provisioning", () => {
    /** Ada's account, in these local groups beside the pipeline's own. */
    function inGroups(uniqueUid: boolean, ...local: string[]): void {
      Object.assign(provider(), { uniqueUid, groupProvisioning: true });
      if (!uniqueUid) identity({ scheme: "user_oidc", providerId: 1, uniqueUserIds: false });
      const { userId = "" } = scene.nextcloud.simulateLogin({
        providerId: 1,
        sub: scene.ada.id,
        claims: { groups: ["Engineering"] },
      });
      for (const gid of local) {
        if (!scene.nextcloud.groups().some((group) => group.gid === gid)) scene.nextcloud.addGroup(gid);
        scene.nextcloud.addMember(gid, userId);
      }
    }
    const groupsRow = ({ comparisons }: Rehearsal) => comparisons.find(({ property }) => property === "groups");

    it.each([
      [true, "Engineering"],
      // Somebody else's group of this id is not joined by the pipeline.
      [false, "none"],
    ])("shows every group that a login takes away, local ones and admin (unique ids %s)", async (ids, ours) => {
      inGroups(ids, "board", "admin");
      const rehearsal = await rehearseAda();
      expect(groupsRow(rehearsal)).toMatchObject({
        login: "Engineering\ntaken away: admin\ntaken away: board",
        pipeline: ours,
        differs: true,
      });
    });

    it("shows that an absent claim takes the pipeline's own away too, before there is an account and after", async () => {
      provider().groupProvisioning = true;
      Object.assign(mapper("nc-groups") ?? {}, { add_to_access_token: false });
      expect(groupsRow(await rehearseAda())).toMatchObject({ login: "none\ntaken away: Engineering", differs: true });
      inGroups(true, "board");
      expect(
        groupsRow(await rehearseAda())
          ?.login?.split("\n")
          .sort(),
      ).toEqual(["none", "taken away: Engineering", "taken away: board"]);
    });

    it("shows none of those that the whitelist spares by their local id", async () => {
      inGroups(true, "board", "local-chess");
      provider().groupWhitelistRegex = "^(Eng|local-)";
      expect(groupsRow(await rehearseAda())?.login).toBe("Engineering\ntaken away: local-chess");
      provider().groupWhitelistRegex = "/^(eng|LOCAL-)/i";
      expect(groupsRow(await rehearseAda())?.login).toBe("Engineering\ntaken away: local-chess");
      provider().groupWhitelistRegex = "/^Engineering$/";
      expect(groupsRow(await rehearseAda())).toMatchObject({ login: "Engineering", differs: false });
    });

    it.each(["", "^(Eng|local-)", "^Sales"])("shows what a login then does (whitelist %j)", async (whitelist) => {
      inGroups(true, "board", "local-chess");
      provider().groupWhitelistRegex = whitelist;
      const shown = groupsRow(await rehearseAda())?.login?.match(/(?<=^taken away: ).+$/gm) ?? [];
      const claims = { groups: ["Engineering"] };
      const before = scene.nextcloud.users().find(({ groups }) => groups.includes("board"));
      const { userId = "" } = scene.nextcloud.simulateLogin({ providerId: 1, sub: scene.ada.id, claims });
      const after = scene.nextcloud.user(userId);
      expect(before?.groups.filter((gid) => !after?.groups.includes(gid))).toEqual(shown);
    });

    it.each([
      "/(?i)^eng/",
      "^eng++",
      "/(?P<name>Eng)/",
      "^(Eng",
    ])("says in a note that a whitelist which only PHP can read leaves groups uncompared: %s", async (whitelist) => {
      inGroups(true, "board");
      provider().groupWhitelistRegex = whitelist;
      const rehearsal = await rehearseAda();
      expect(rehearsal.notes).toContainEqual(
        expect.stringContaining(`whitelist ${whitelist} cannot be evaluated outside PHP`),
      );
      expect(rehearsal.comparisons.map(({ property }) => property)).toEqual(["account id", "name", "e-mail", "quota"]);
    });

    it("leaves the local groups out where group provisioning is off", async () => {
      inGroups(true, "board");
      provider().groupProvisioning = false;
      expect(groupsRow(await rehearseAda())).toMatchObject({ login: undefined, differs: false });
    });
  });

  it("says when the login would be refused", async () => {
    scene.clavex.setAttributes(SLUG, scene.ada.id, { nextcloud_quota: "much" });
    expect((await rehearseAda()).refused).toMatch(/quota claim "much".*HTTP 500/);
  });

  it("says what a login makes of a quota that Nextcloud only half knows", async () => {
    scene.clavex.setAttributes(SLUG, scene.ada.id, { nextcloud_quota: "5 GiB" });
    const quota = (await rehearseAda()).comparisons.find(({ property }) => property === "quota");
    expect(quota).toMatchObject({ login: "5 B", differs: true });
  });

  it("counts the claims of /userinfo where Nextcloud asks for them", async () => {
    const name = (await rehearseAda({ userinfo: true })).comparisons.find(({ property }) => property === "name");
    expect(name).toMatchObject({ login: "Ada Lovelace", differs: false });
  });

  it("works with core accounts, which a login adopts by the raw subject", async () => {
    identity({ scheme: "database" });
    expect(differing(await rehearseAda())).toEqual([]);
  });

  it("compares the id alone with sociallogin", async () => {
    identity({ scheme: "sociallogin", providerName: "clavex" });
    const rehearsal = await rehearseAda();
    expect(differing(rehearsal)).toEqual([]);
    expect(rehearsal.notes.join()).toMatch(/sociallogin/);
  });

  it("reads the settings from the app config where user_oidc has no routes for providers", async () => {
    scene.nextcloud.apps.set("user_oidc", "6.4.0");
    expect(differing(await rehearseAda())).toEqual([]);
    provider().id = 9;
    await expect(rehearseAda()).rejects.toMatchObject({ code: "provider-not-visible" });
  });

  it("says without an administrator's token that no mappers are known", async () => {
    scene.options.adminToken = undefined;
    expect((await rehearseAda()).notes.join()).toMatch(/administrator's token/);
  });

  it("says of somebody who is suspended that nothing is made", async () => {
    expect(await rehearseAda({ active: false })).toMatchObject({ state: "suspended", comparisons: [] });
  });
});

describe("what a login makes, computed and simulated", () => {
  const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
  const settings = {
    groupProvisioning: true,
    groupWhitelistRegex: "",
    mappingUid: "",
    mappingDisplayName: "",
    mappingEmail: "",
    mappingQuota: "",
    mappingGroups: "",
    mappingAvatar: "",
  };

  it.each([
    { uniqueUid: true, providerBasedId: false, identifier: "clavex", sub: SUBJECT },
    { uniqueUid: false, providerBasedId: false, identifier: "clavex", sub: SUBJECT },
    { uniqueUid: false, providerBasedId: true, identifier: "clavex", sub: SUBJECT },
    { uniqueUid: true, providerBasedId: true, identifier: "clavex", sub: SUBJECT },
    { uniqueUid: false, providerBasedId: false, identifier: "clavex", sub: "L".repeat(80) },
    { uniqueUid: false, providerBasedId: true, identifier: "a-very-long-provider-identifier-".repeat(2), sub: SUBJECT },
  ])("is the same for $uniqueUid, $providerBasedId, $identifier, $sub", async ({ sub, identifier, ...ids }) => {
    const claims = { name: "Ada", email: "ada@acme.example", quota: "5 GB", groups: ["eng", "ops"] };
    for (const version of [27, 34] as const) await compare(version);

    async function compare(version: 27 | 34): Promise<void> {
      const nextcloud = await startSimulatedNextcloud({
        version,
        providers: [{ id: 3, identifier, groupProvisioning: true, ...ids }],
      });
      try {
        const result = nextcloud.simulateLogin({ providerId: 3, sub, claims });
        const made = loginAccount(
          { id: 3, identifier, settings: { ...settings, ...ids } } as OidcProvider,
          { sub, ...claims },
          new Set(),
          version >= 32,
        );
        // A provider's name that makes group ids too long ends the login of 27 with 500.
        if ("refused" in made) return expect(result.status).toBe(500);
        const account = nextcloud.user(result.userId ?? "");
        expect(made).toEqual({
          id: account?.id,
          displayName: account?.displayName,
          email: account?.email,
          quota: account?.quota,
          groups: account?.groups,
        } as LoginAccount);
      } finally {
        await nextcloud.close();
      }
    }
  });

  it("adopts an account of the raw subject", () => {
    const hashed = { id: 1, settings: { ...settings, uniqueUid: true, providerBasedId: false } } as OidcProvider;
    expect(loginAccount(hashed, { sub: SUBJECT }, new Set([SUBJECT]), true)).toMatchObject({ id: SUBJECT });
  });

  it("knows the ids of sociallogin", () => {
    expect(socialLoginAccount("clavex", SUBJECT).id).toBe(`clavex-${SUBJECT}`);
    expect(socialLoginAccount("clavex", "https://id.example/größe").id).toMatch(/^clavex-[0-9a-f]{32}$/);
  });
});
