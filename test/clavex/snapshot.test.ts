import { describe, expect, it } from "vitest";
import { parseSnapshot, snapshotOf } from "../../functions/clavex/snapshot.ts";

const ID = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const ORGANIZATION = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const USER = {
  id: ID,
  org_id: ORGANIZATION,
  email: "ada@acme.eu",
  first_name: "Ada",
  last_name: "Lovelace",
  avatar_url: "https://acme.eu/ada.png",
  is_active: true,
  is_email_verified: true,
  mfa_required: false,
  required_actions: null,
  metadata: { nextcloud_quota: "10 GB", salary: "100000" },
  created_at: "2026-07-23T10:15:30.1201+02:00",
  updated_at: "2026-07-23T10:15:30.1201+02:00",
  last_login_at: "2026-07-23T10:15:30.1201+02:00",
};

describe("a snapshot", () => {
  it("holds what provisioning needs and nothing else of the user", () => {
    expect(snapshotOf(USER, "nextcloud_quota")).toEqual({
      id: ID,
      org_id: ORGANIZATION,
      email: "ada@acme.eu",
      first_name: "Ada",
      last_name: "Lovelace",
      is_email_verified: true,
      is_active: true,
      updated_at: "2026-07-23T08:15:30.120100000Z",
      metadata: { nextcloud_quota: "10 GB" },
    });
  });

  it("survives the queue: what is read back is the user", () => {
    const sent = JSON.parse(JSON.stringify(snapshotOf(USER, "nextcloud_quota")));
    expect(parseSnapshot(sent)).toEqual({
      subject: ID,
      organizationId: ORGANIZATION,
      email: "ada@acme.eu",
      firstName: "Ada",
      lastName: "Lovelace",
      active: true,
      erased: false,
      emailVerified: true,
      attributes: { nextcloud_quota: "10 GB" },
      updatedAt: "2026-07-23T08:15:30.120100000Z",
    });
  });

  it("is made of a user without names, metadata and required actions too", () => {
    const { first_name: _first, last_name: _last, avatar_url: _avatar, last_login_at: _login, ...bare } = USER;
    for (const names of [{}, { first_name: null, last_name: null }]) {
      const snapshot = snapshotOf({ ...bare, ...names, metadata: null, required_actions: null }, "nextcloud_quota");
      expect(snapshot).toMatchObject({ first_name: "", last_name: "", email: "ada@acme.eu" });
      expect(snapshot).not.toHaveProperty("metadata");
    }
    expect(snapshotOf({ ...USER, required_actions: ["verify_email"] }, "x")).toBeDefined();
  });

  it.each([
    ["the direct one", { nextcloud_quota: "1 GB" }, "1 GB"],
    ["the one that Clavex's SDK nests", { attributes: { nextcloud_quota: "2 GB" } }, "2 GB"],
    ["the direct one of both", { nextcloud_quota: "1 GB", attributes: { nextcloud_quota: "2 GB" } }, "1 GB"],
    ["a number as text", { nextcloud_quota: 5368709120 }, "5368709120"],
    ["an empty text", { nextcloud_quota: "" }, ""],
    ["the type of a boolean", { nextcloud_quota: true }, "(boolean)"],
    ["the type of a list", { nextcloud_quota: ["1 GB"] }, "(array)"],
    ["the type of an object", { attributes: { nextcloud_quota: { value: "1 GB" } } }, "(object)"],
  ])("takes the attribute: %s", (_, metadata, value) => {
    expect(snapshotOf({ ...USER, metadata }, "nextcloud_quota")?.metadata).toEqual({ nextcloud_quota: value });
  });

  it.each([
    { nextcloud_quota: null },
    { Nextcloud_Quota: "1 GB" },
    { attributes: "1 GB" },
    { attributes: null },
    { attributes: ["1 GB"] },
    {},
  ])("has no attribute in %j", (metadata) => {
    expect(snapshotOf({ ...USER, metadata }, "nextcloud_quota")).not.toHaveProperty("metadata");
  });

  it.each([
    ["ids only", { id: ID, org_id: ORGANIZATION }],
    ["no e-mail address", { ...USER, email: undefined }],
    ["no state", { ...USER, is_active: undefined }],
    ["a state that is a text", { ...USER, is_active: "true" }],
    ["no time", { ...USER, updated_at: undefined }],
    ["a time that is none", { ...USER, updated_at: "yesterday" }],
    ["an id that is no UUID", { ...USER, id: "ada" }],
    ["nothing", undefined],
    ["a text", "ada"],
    ["a list", [USER]],
  ])("is not made of data with %s", (_, data) => {
    expect(snapshotOf(data, "nextcloud_quota")).toBeUndefined();
    expect(parseSnapshot(data)).toBeUndefined();
  });

  it.each([
    ["metadata: []", { metadata: [] }],
    ["a name that is an object", { first_name: { given: "Ada" } }],
    ["no e-mail address", { email: null }],
    ["everything else at once", { metadata: 5, email: [], first_name: 7, last_name: {} }],
  ])("is made of somebody who is not active with %s, and of nobody who is", (_, fields) => {
    const sent = JSON.parse(JSON.stringify(snapshotOf({ ...USER, ...fields, is_active: false }, "nextcloud_quota")));
    expect(parseSnapshot(sent)).toMatchObject({ subject: ID, active: false });
    expect(snapshotOf({ ...USER, ...fields, is_active: true }, "nextcloud_quota")).toBeUndefined();
    expect(snapshotOf({ ...USER, ...fields, is_active: false, updated_at: 5 }, "nextcloud_quota")).toBeUndefined();
  });

  it("of a deeply nested user does not exhaust the stack", () => {
    const metadata = JSON.parse(`{"deep":${"[".repeat(50_000)}${"]".repeat(50_000)},"nextcloud_quota":"1 GB"}`);
    expect(snapshotOf({ ...USER, metadata }, "nextcloud_quota")?.metadata).toEqual({ nextcloud_quota: "1 GB" });
  });
});

describe("an erased user", () => {
  it.each(["erased_0123456789abcdef@gdpr.invalid", `anon-${ID}@gdpr.deleted`])("is one with %s", (email) => {
    expect(parseSnapshot({ ...USER, email })?.erased).toBe(true);
  });

  it.each([
    "ada@acme.eu",
    "erased_0123456789abcde@gdpr.invalid",
    "erased_0123456789abcdef@gdpr.invalid.eu",
    "my.erased_0123456789abcdef@gdpr.invalid",
    "erased_0123456789abcdeg@gdpr.invalid",
    "anon-1@gdpr.deleted",
    `anon-${ID}@acme.eu`,
    "",
  ])("is not one with %j", (email) => {
    expect(parseSnapshot({ ...USER, email })?.erased).toBe(false);
  });
});
