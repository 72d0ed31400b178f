import { describe, expect, it } from "vitest";
import type * as z from "zod";
import { desiredAccount, desiredHash, groupsHash } from "../../functions/core/desired.ts";
import { organizationSchema } from "../../functions/core/organization.ts";
import type { Traits } from "../../functions/core/person.ts";

/*
 * The ledgers of running pipelines hold these hashes. A change of the formula would make the first light run after an
 * update queue everybody, so the people below are written out and their hashes are literals.
 */
const organization = (rest: Partial<z.input<typeof organizationSchema>> = {}) =>
  organizationSchema.parse({
    slug: "acme",
    organizationId: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
    clavex: { baseUrl: "https://id.acme.example", webhookSecrets: ["env:WEBHOOK_SECRET"], apiKey: "env:API_KEY" },
    nextcloud: { baseUrl: "https://nextcloud.acme.example", username: "provisioner", password: "env:APP_PASSWORD" },
    identity: { scheme: "user_oidc", providerId: 1 },
    quota: { default: "5 GB", byGroup: { Finance: "50 GB" } },
    ...rest,
  });

const ada = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const grace = "a2b4c6d8-1e3f-4a5b-8c7d-9e0f1a2b3c4d";
const profile = (rest: Partial<Traits> = {}): Traits => ({
  email: "Ada@Acme.example",
  firstName: "Ada",
  lastName: "Lovelace",
  active: true,
  erased: false,
  emailVerified: true,
  attributes: {},
  ...rest,
});
const raw = { identity: { scheme: "user_oidc", providerId: 2, uniqueUserIds: false } } as const;
const database = { identity: { scheme: "database" } } as const;
const sociallogin = { identity: { scheme: "sociallogin", providerName: "clavex" } } as const;

type Case = [
  name: string,
  organization: ReturnType<typeof organization>,
  subject: string,
  user: Traits | undefined,
  groups: string[] | undefined,
  desired: string,
  groups: string,
];

const CASES: Case[] = [
  [
    "an active person of one group",
    organization(),
    ada,
    profile(),
    ["Engineering"],
    "624b1e6c4a6af0ee4d1d6773e8348c8009f578bf92b25060cc44565f584d15a2",
    "297dcba7e684252487542f569cde0cce0c243cf47266b8bfed23bd105e1e8f42",
  ],
  [
    "an active person without groups",
    organization(),
    ada,
    profile(),
    [],
    "d3aaeb6497410f6b78073e2c692f1ff14c8737ee32892a507f355bdb3429f55b",
    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
  ],
  [
    "an active person whose groups are not known",
    organization(),
    ada,
    profile(),
    undefined,
    "d3aaeb6497410f6b78073e2c692f1ff14c8737ee32892a507f355bdb3429f55b",
    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
  ],
  [
    "a person whose group gives the quota",
    organization(),
    grace,
    profile({ firstName: "Grace", lastName: "Hopper" }),
    ["Engineering", "Finance"],
    "0f4f4ff897d46fe1dd68dc38ca393c420079bdd7aade30b69d7d315afec66b2f",
    "a062ec8e9ec6754329e22f8adeeebb30e6de0bc696e5896d187422f06a1823c1",
  ],
  [
    "a person whose attribute gives the quota",
    organization(),
    grace,
    profile({ attributes: { nextcloud_quota: "none" } }),
    ["Finance"],
    "e9d11df62fe8686c3d262992ae9eadb05296584177b7361e506015b0270ef673",
    "7105c13d5d51007802f4f526f7adc64be83ce1f36e6695cac9a58cdb6ceee422",
  ],
  [
    "a person whose attribute is no quota",
    organization({ quota: {} }),
    grace,
    profile({ attributes: { nextcloud_quota: "5 GiB" } }),
    [],
    "82f918c6b2007c0083336e7609c31a67002773abee8f91ad0464d6b2ba781bc8",
    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
  ],
  [
    "a person without a name",
    organization(),
    ada,
    profile({ firstName: "", lastName: "" }),
    ["Vertrieb Süd", "a/b", "🚀 Rocket team"],
    "0cbbedbc6c7a19640a03ef646f29f5571fc5c8d3895d3b4c5210a60a76343d8f",
    "fff06e3d3a6f58bacca844822113f31bff313caa9ce5c3b30e813802570096a2",
  ],
  [
    "a person whose name has control characters",
    organization(),
    ada,
    profile({ firstName: "A\u0007da\u202e", lastName: " \tLovelace\ud800" }),
    [],
    "1c031b328e1784054c0d74ad2ad04e5bea528fc2c2c41d55eafeb2d64c4e6775",
    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
  ],
  [
    "a suspended person",
    organization(),
    ada,
    profile({ active: false }),
    ["Engineering"],
    "05e19f86a8586c13a0edf04ea36b8e51123a4e83202eed47fddedb39259ab3b2",
    "297dcba7e684252487542f569cde0cce0c243cf47266b8bfed23bd105e1e8f42",
  ],
  [
    "an erased person",
    organization(),
    ada,
    profile({ erased: true, email: "erased_0123456789abcdef@gdpr.invalid", active: false }),
    [],
    "90a1d5c8a14012b28a71ef86c9f8405ebbbf1cd6bbb41e280e13e85aae40b54d",
    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
  ],
  [
    "a person who is gone",
    organization(),
    ada,
    undefined,
    [],
    "90a1d5c8a14012b28a71ef86c9f8405ebbbf1cd6bbb41e280e13e85aae40b54d",
    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
  ],
  [
    "a person out of scope",
    organization({ scope: { groups: ["Staff*"] } }),
    ada,
    profile(),
    ["Engineering"],
    "b9dce61e69ff3ba46418ac0eaa121e2e68015fb8fe02499095e267b6938d409c",
    "297dcba7e684252487542f569cde0cce0c243cf47266b8bfed23bd105e1e8f42",
  ],
  [
    "a person in scope, with prefix, always and never",
    organization({
      scope: { groups: ["Staff*"] },
      groups: { prefix: "acme-", always: ["everyone"], never: ["Secret*"] },
    }),
    ada,
    profile(),
    ["Secret plans", "Staff (all)"],
    "93e13523df949524080d7ff1a3f0981c8e99b574e3b2c77eb624dd10e43b3c87",
    "a349cebab6b54c315dacd0f5a4b087b641b76fef112a93a9c0a8ba38c9cb9941",
  ],
  [
    "raw ids",
    organization(raw),
    ada,
    profile(),
    ["Engineering", "admin"],
    "edc95f133ee0e0bc8d491824766fd1390e980a08b696efa8b09fe44d7f299cb3",
    "51d72b51cf215b87a7f98d23bf90f2cd12e8541d717f73c7b0a3db62c2f45875",
  ],
  [
    "scheme database",
    organization(database),
    ada,
    profile(),
    ["Engineering"],
    "edc95f133ee0e0bc8d491824766fd1390e980a08b696efa8b09fe44d7f299cb3",
    "297dcba7e684252487542f569cde0cce0c243cf47266b8bfed23bd105e1e8f42",
  ],
  [
    "scheme sociallogin",
    organization(sociallogin),
    ada,
    profile(),
    ["Engineering"],
    "de9c40cd8db10a2b0eb210759b15e1b0b5f938e8bc3797b50c2e7488c95fb735",
    "297dcba7e684252487542f569cde0cce0c243cf47266b8bfed23bd105e1e8f42",
  ],
];

describe("the hashes in running ledgers are those of before", () => {
  it.each(CASES)("%s", (_name, given, subject, user, groups, desired, ofGroups) => {
    expect(desiredHash(desiredAccount(given, subject, { person: user, groups }))).toBe(desired);
    expect(groupsHash(groups ?? [])).toBe(ofGroups);
  });
});
