import { describe, expect, it } from "vitest";
import { isActing, mayShareIds, type Organization } from "../../functions/core/organization.ts";
import { conflicts, together } from "../../functions/core/together.ts";
import { type Choices, IDENTITIES, organizationOf } from "./organization.ts";

const NEXTCLOUD = "https://nextcloud.acme.example";

const serversOf = (clavex: string, nextcloud: string) => ({
  clavex: { url: clavex },
  nextcloud: { url: nextcloud, username: "provisioner" },
});

/** Two organizations of two Clavex servers on one Nextcloud. */
function strangers(first: Choices, second: Choices = first, nextcloud = NEXTCLOUD) {
  return [
    organizationOf({ ...first, slug: "acme" }, serversOf("https://id.acme.example", NEXTCLOUD)),
    organizationOf({ ...second, slug: "beta" }, serversOf("https://id.beta.example", nextcloud)),
  ];
}

/** Two organizations of one Clavex on one Nextcloud. */
function relatives(first: Choices, second: Choices = first) {
  return [organizationOf({ ...first, slug: "acme" }), organizationOf({ ...second, slug: "beta" })];
}

const { hashed, raw, providerBased, database, sociallogin } = IDENTITIES;
const provider = (providerId: number, rest: object = {}) => ({ ...raw, providerId, ...rest });

describe("two organizations on one Nextcloud", () => {
  it.each<[string, object, object]>([
    ["one provider with hashed ids", hashed, hashed],
    ["raw ids of two providers", provider(2), provider(5)],
    ["raw ids and core accounts", raw, database],
    ["core accounts", database, database],
    ["one provider of which they say different things", { ...hashed, providerId: 2 }, raw],
    ["one identifier of two providers", providerBased, { ...providerBased, providerId: 9 }],
    [
      "one identifier in other letter case",
      providerBased,
      { ...providerBased, providerId: 9, providerIdentifier: "CLAVEX" },
    ],
    ["an identifier that is the name of the other's login app", providerBased, sociallogin],
    ["one name of the login app", sociallogin, sociallogin],
  ])("with %s conflict, both named", (_, first, second) => {
    const found = conflicts(strangers({ identity: first }, { identity: second }));
    expect(found).toHaveLength(1);
    expect(found[0]?.organizations.map(({ slug }) => slug)).toEqual(["acme", "beta"]);
    expect(found[0]?.problem).toMatch(/acme and beta .* API keys$/);
  });

  it.each<[string, object, object]>([
    ["hashed ids of two providers", hashed, { ...hashed, providerId: 2 }],
    ["hashed and raw ids", hashed, raw],
    ["hashed ids and core accounts", hashed, database],
    ["two identifiers", providerBased, { ...providerBased, providerId: 9, providerIdentifier: "beta" }],
    ["two names of the login app", sociallogin, { ...sociallogin, providerName: "beta" }],
    ["raw ids and an identifier", raw, providerBased],
  ])("with %s stand together", (_, first, second) => {
    expect(conflicts(strangers({ identity: first }, { identity: second }))).toEqual([]);
  });

  it("of one Clavex stand together, whatever the ids, as long as both have an API key", () => {
    for (const identity of [hashed, raw, database]) {
      expect(conflicts(relatives({ identity }))).toEqual([]);
      expect(conflicts(relatives({ identity }, { identity, apiKey: false }))).toHaveLength(1);
      expect(conflicts(relatives({ identity, apiKey: false }))).toHaveLength(1);
    }
  });

  it("are the same Nextcloud however its address is written", () => {
    for (const address of ["https://NEXTCLOUD.acme.example", `${NEXTCLOUD}:443/`, `${NEXTCLOUD}//`])
      expect(conflicts(strangers({}, {}, address))).toHaveLength(1);
  });
});

describe("organizations on two Nextclouds", () => {
  it("stand together with the same ids", () => {
    expect(conflicts(strangers({ identity: raw }, { identity: raw }, "https://nextcloud.beta.example"))).toEqual([]);
    expect(conflicts(strangers({ identity: raw }, { identity: raw }, `${NEXTCLOUD}/second`))).toEqual([]);
  });
});

describe("what an organization learns of the others on its Nextcloud", () => {
  const found = (organization: Organization) => ({
    source: `${organization.slug}.json`,
    slug: organization.slug,
    organization,
    problems: [],
  });

  it("is whether an account may be theirs, and which accounts are the pipeline's own", () => {
    const [acme, beta] = relatives({ identity: hashed }).map(found);
    if (!acme || !beta) return expect.fail();
    const neighbours = together([acme, beta]).map(({ organization }) => organization);
    expect(neighbours.map((each) => each && mayShareIds(each))).toEqual([true, true]);
    expect(neighbours.map((each) => each && isActing(each, "PROVISIONER"))).toEqual([true, true]);
    expect(mayShareIds(acme.organization)).toBe(false);
  });

  it("is that raw ids may be anybody's, also where it is alone", () => {
    for (const identity of [raw, database]) expect(mayShareIds(organizationOf({ identity }))).toBe(true);
    for (const identity of [providerBased, sociallogin]) expect(mayShareIds(organizationOf({ identity }))).toBe(false);
  });
});
