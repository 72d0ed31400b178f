import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  accountId,
  groupId,
  groupProblem,
  type Identity,
  identityFingerprint,
  schemeOf,
} from "../../functions/core/identity.ts";
import { fc } from "../support/fast-check.ts";

const oidc = (providerId: number, settings: Partial<Extract<Identity, { scheme: "user_oidc" }>> = {}): Identity => ({
  scheme: "user_oidc",
  providerId,
  uniqueUserIds: true,
  providerBasedIds: false,
  ...settings,
});
const raw = oidc(1, { uniqueUserIds: false });
const providerBased = oidc(1, { uniqueUserIds: false, providerBasedIds: true, providerIdentifier: "clavex" });
const sociallogin: Identity = { scheme: "sociallogin", providerName: "Clavex" };
const database: Identity = { scheme: "database" };

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";

describe("the account id with unique user ids", () => {
  it.each([
    [1, "minimal-sub", "60a86a4244ce7af6ab89af4be1abc0a7293f58cc8ebf3debb334f87d67abf8ac"],
    [99, "p99", "af9360aff75b19484c45de6c28d625016511cd4e5b934fdea781533a5a0801e9"],
  ])("of provider %d and subject %s is the one measured", (providerId, subject, id) => {
    expect(accountId(oidc(providerId), subject)).toBe(id);
  });

  it("is hashed once, however long the subject", () => {
    expect(accountId(oidc(7), "x".repeat(500))).toBe(sha256(`7_0_${"x".repeat(500)}`));
  });

  it("takes no notice of providerBasedIds, as user_oidc does not", () => {
    const both = oidc(1, { providerBasedIds: true, providerIdentifier: "clavex" });
    expect(accountId(both, "minimal-sub")).toBe(accountId(oidc(1), "minimal-sub"));
    expect(groupId(both, "eng")).toBe(groupId(oidc(1), "eng"));
  });

  it("depends on the letter case of the subject", () => {
    expect(accountId(oidc(1), "A")).not.toBe(accountId(oidc(1), "a"));
  });
});

describe("the account id without unique user ids", () => {
  it("is the subject", () => {
    expect(accountId(raw, SUBJECT)).toBe(SUBJECT);
  });

  it("of 80 characters is the hash that was measured", () => {
    expect(accountId(raw, "L".repeat(80))).toBe("5baddc74cfd63ee6d688fa6befa6823f83d8710e28e8e5208af2b69d87211c89");
  });

  it("has the provider's identifier before it with provider-based ids", () => {
    expect(accountId(providerBased, SUBJECT)).toBe(`clavex-${SUBJECT}`);
  });

  it("is hashed over 64 bytes and not before, the identifier included", () => {
    expect(accountId(raw, "x".repeat(64))).toBe("x".repeat(64));
    expect(accountId(raw, "x".repeat(65))).toBe(sha256("x".repeat(65)));
    expect(accountId(providerBased, "x".repeat(57))).toBe(`clavex-${"x".repeat(57)}`);
    expect(accountId(providerBased, "x".repeat(58))).toBe(sha256(`clavex-${"x".repeat(58)}`));
  });

  it("counts bytes and not characters", () => {
    expect(accountId(raw, "é".repeat(32))).toBe("é".repeat(32));
    expect(accountId(raw, "é".repeat(33))).toBe(sha256("é".repeat(33)));
    expect(accountId(raw, "🚀".repeat(17))).toBe(sha256("🚀".repeat(17)));
  });

  it("never has more than 64 bytes", () => {
    const identity = fc.constantFrom(raw, providerBased, oidc(3));
    fc.assert(
      fc.property(identity, fc.string({ unit: "binary", maxLength: 200 }), (each, subject) => {
        expect(Buffer.byteLength(accountId(each, subject))).toBeLessThanOrEqual(64);
      }),
    );
  });
});

describe("the account id of a core account", () => {
  it("is the subject in the scheme database", () => {
    expect(accountId(database, SUBJECT)).toBe(SUBJECT);
  });

  it("is the provider's name and the subject in the scheme sociallogin", () => {
    expect(accountId(sociallogin, SUBJECT)).toBe(`Clavex-${SUBJECT}`);
    expect(accountId(sociallogin, "Ada_L.o@acme-1")).toBe("Clavex-Ada_L.o@acme-1");
  });

  it("has only the part of the subject after its last slash in the scheme sociallogin", () => {
    expect(accountId(sociallogin, "https://id.example.org/users/42")).toBe("Clavex-42");
  });

  it.each([
    ["ada lovelace"],
    ["jörg"],
    ["a+b"],
    ["a|b"],
    ["a'b"],
  ])("has the md5 of %j in the scheme sociallogin, as a core account cannot be called so", (subject) => {
    expect(accountId(sociallogin, subject)).toBe(`Clavex-${md5(subject)}`);
  });

  it("has the md5 when it would be longer than 64 in the scheme sociallogin, and not before", () => {
    expect(accountId(sociallogin, "x".repeat(57))).toBe(`Clavex-${"x".repeat(57)}`);
    expect(accountId(sociallogin, "x".repeat(58))).toBe(`Clavex-${md5("x".repeat(58))}`);
    expect(accountId(sociallogin, `a/${"x".repeat(58)}`)).toBe(`Clavex-${md5("x".repeat(58))}`);
  });
});

describe("the group id", () => {
  it("of `eng` with unique user ids is the hash that was measured", () => {
    expect(groupId(oidc(1), "eng")).toBe("bc74ba1cc26d49fbf7fdde5361ce1d2a479d63a469d43b01004119d7c4728112");
  });

  it.each([
    [raw, "eng"],
    [providerBased, "clavex-eng"],
    [database, "eng"],
    [sociallogin, "Clavex-eng"],
  ])("of `eng` in %j is %s", (identity, id) => {
    expect(groupId(identity, "eng")).toBe(id);
  });

  it("over 64 characters is hashed, as Nextcloud does itself from 32 on", () => {
    expect(groupId(raw, "L".repeat(65))).toBe("0aa592a580e69e4247d4652a3ff4c1746c9d241105b0b79f7ee1ca0b9f1a6aed");
    expect(groupId(database, "ü".repeat(65))).toBe(sha256("ü".repeat(65)));
    expect(groupId(providerBased, "g".repeat(58))).toBe(sha256(`clavex-${"g".repeat(58)}`));
    expect(groupId(providerBased, "g".repeat(57))).toBe(`clavex-${"g".repeat(57)}`);
    for (const name of ["g".repeat(64), "ü".repeat(64), "🚀".repeat(64)]) expect(groupId(raw, name)).toBe(name);
  });

  it("is a hash in user_oidc with unique user ids only", () => {
    expect(
      [oidc(1), raw, providerBased, database, sociallogin].map(
        (identity: Identity) => schemeOf(identity).hashesGroupIds,
      ),
    ).toEqual([true, false, false, false, false]);
  });
});

describe("a group that Nextcloud cannot hold", () => {
  it.each([
    ["an empty id", "", "Engineering", "this id"],
    ["an id of spaces", "  ", "Engineering", "this id"],
    ["the id 0", "0", "Engineering", "this id"],
    ["an empty name", "bc74", "", "this name"],
    ["the name 0", "bc74", "0", "this name"],
    ["the id .", ".", ".", "path"],
    ["the id ..", "..", "..", "path"],
    ["a line break in its id", "a\nb", "a b", "control characters"],
    ["a tab in its name", "bc74", "a\tb", "control characters"],
    ["a null byte", "a\u0000b", "a\u0000b", "control characters"],
    ["a C1 control character", "a\u0085b", "a\u0085b", "control characters"],
    ["256 characters of name", "bc74", "g".repeat(256), "255 characters"],
  ])("because of %s is named with the reason", (_, gid, name, reason) => {
    expect(groupProblem(gid, name)).toContain(reason);
  });

  it.each([
    ["64 characters", "g".repeat(64)],
    ["64 characters of several bytes", "ü".repeat(64)],
    ["64 characters outside the basic plane", "🚀".repeat(64)],
    ["a slash", "eng/backend"],
    ["the end of another route", "x/users"],
    ["percent, plus, question mark, hash, ampersand, colon, backslash and quotes", "100% + ? # & : \\ ' \""],
    ["three dots", "..."],
    ["a zero among others", "00"],
    ["the name of a prototype's property", "__proto__"],
  ])("is not one with %s", (_, gid) => {
    expect(groupProblem(gid, gid)).toBeUndefined();
  });

  it("is not one because its name is longer than 64, where the id is a hash", () => {
    const name = "g".repeat(200);
    expect(groupProblem(groupId(oidc(1), name), name)).toBeUndefined();
  });
});

describe("the fingerprint of an identity", () => {
  const oidc = { scheme: "user_oidc", providerId: 1, uniqueUserIds: true, providerBasedIds: false } as const;

  it("does not change with what decides no id", () => {
    const unused = { ...oidc, providerBasedIds: true, providerIdentifier: "clavex" };
    expect(identityFingerprint(unused)).toBe(identityFingerprint(oidc));
    const raw = { ...oidc, uniqueUserIds: false };
    expect(identityFingerprint({ ...raw, providerId: 2 })).toBe(identityFingerprint(raw));
  });

  it.each<Identity>([
    { ...oidc, providerId: 2 },
    { ...oidc, uniqueUserIds: false },
    { ...oidc, uniqueUserIds: false, providerBasedIds: true, providerIdentifier: "clavex" },
    { scheme: "database" },
    { scheme: "sociallogin", providerName: "clavex" },
    { scheme: "sociallogin", providerName: "Clavex" },
  ])("is another one when it is %j", (identity) => {
    expect(identityFingerprint(identity)).not.toBe(identityFingerprint(oidc));
  });
});
