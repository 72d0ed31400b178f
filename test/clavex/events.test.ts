import { describe, expect, it } from "vitest";
import { ForeignOrganization, type Hint, MalformedDelivery, parseDelivery } from "../../functions/clavex/events.ts";

const ORGANIZATION = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const OTHER_ORGANIZATION = "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11";
const SUBJECT = "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21";
const GROUP = "7a1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e22";
const DELIVERY = "a3a0e6b6-6d3b-4a57-9d0c-0f4f0f7f3f11";
const OCCURRED_AT = "2026-07-23T08:15:30.123456789Z";

/** A user as a webhook shows it, with everything that may be missing missing. */
const USER = {
  id: SUBJECT,
  org_id: ORGANIZATION,
  email: "ada@acme.eu",
  is_active: true,
  is_email_verified: true,
  mfa_required: false,
  required_actions: null,
  metadata: null,
  created_at: "2026-07-23T10:15:30.1201+02:00",
  updated_at: "2026-07-23T10:15:30+02:00",
};

const parse = (body: unknown): Hint => parseDelivery(Buffer.from(JSON.stringify(body)), ORGANIZATION);
const parseText = (body: string | Uint8Array): Hint => parseDelivery(Buffer.from(body), ORGANIZATION);

function envelope(event: string, data: unknown, rest: Record<string, unknown> = {}): Record<string, unknown> {
  return { id: DELIVERY, event, occurred_at: OCCURRED_AT, data, ...rest };
}

function cloudEvent(data: Record<string, unknown>, rest: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    specversion: "1.0",
    id: DELIVERY,
    source: `https://id.acme.eu/${ORGANIZATION}`,
    type: `com.clavex.audit.${data.action}`,
    time: "2026-07-23T08:15:30Z",
    subject: `/orgs/${ORGANIZATION}/users/${SUBJECT}`,
    dataschema: "https://clavex.dev/schemas/audit/v1",
    orgid: ORGANIZATION,
    datacontenttype: "application/json",
    data: { status: "success", resource_type: "user", metadata: { email: "ada@acme.eu" }, ...data },
    ...rest,
  };
}

describe("a webhook that Clavex sends today", () => {
  it.each(["user.created", "user.updated"])("%s concerns its user, and carries them", (event) => {
    expect(parse(envelope(event, USER))).toEqual({
      concerns: "subject",
      about: "user",
      event,
      deliveryId: DELIVERY,
      occurredAt: OCCURRED_AT,
      subject: SUBJECT,
      data: USER,
    });
  });

  it("user.deleted concerns its user, of whom only the ids are left", () => {
    expect(parse(envelope("user.deleted", { id: SUBJECT, org_id: ORGANIZATION }))).toMatchObject({
      concerns: "subject",
      event: "user.deleted",
      subject: SUBJECT,
    });
  });

  it("reads the retry of a delivery, in other order and white space, as the same hint", () => {
    const first = `{"id":"${DELIVERY}","event":"user.deleted","occurred_at":"${OCCURRED_AT}","data":{"id":"${SUBJECT}","org_id":"${ORGANIZATION}"}}`;
    const retry = `{"id": "${DELIVERY}", "data": {"id": "${SUBJECT}", "org_id": "${ORGANIZATION}"}, "event": "user.deleted", "occurred_at": "${OCCURRED_AT}"}`;
    expect(parseText(retry)).toEqual(parseText(first));
  });

  it("may write a letter differently when it is a retry (JSON escapes)", () => {
    const body = JSON.stringify(envelope("user.created", { ...USER, first_name: "Zoë" }));
    expect(parseText(body.replace("ë", "\\u00eb"))).toEqual(parseText(body));
  });

  it.each([
    ["2026-07-23T10:15:30+02:00", "2026-07-23T08:15:30.000000000Z"],
    ["2026-07-23T08:15:30.5Z", "2026-07-23T08:15:30.500000000Z"],
    ["2026-07-23T03:15:30.123456789-05:00", "2026-07-23T08:15:30.123456789Z"],
  ])("that occurred at %s is remembered in UTC with nine digits", (occurred_at, normalised) => {
    expect(parse(envelope("user.created", USER, { occurred_at })).occurredAt).toBe(normalised);
  });

  it("writes ids of users in lower case, whatever their letters were", () => {
    const hint = parse(envelope("user.updated", { ...USER, id: SUBJECT.toUpperCase() }));
    expect(hint).toMatchObject({ concerns: "subject", subject: SUBJECT });
  });
});

describe("a webhook that Clavex has a name for but does not send yet", () => {
  it.each([
    "user.suspended",
    "user.reactivated",
    "user.email.verified",
    "scim.user.provisioned",
    "scim.user.deprovisioned",
  ])("%s concerns its user, in either form of payload", (event) => {
    for (const data of [USER, { user_id: SUBJECT, org_id: ORGANIZATION }]) {
      expect(parse(envelope(event, data))).toMatchObject({ concerns: "subject", event, subject: SUBJECT });
    }
  });

  // Nobody knows their payload: the address it was posted to says whose it is.
  it.each([
    "user.suspended",
    "user.reactivated",
    "user.email.verified",
    "scim.user.provisioned",
    "scim.user.deprovisioned",
  ])("%s is a hint even without the organization's id", (event) => {
    expect(parse(envelope(event, { user_id: SUBJECT }))).toMatchObject({ concerns: "subject", subject: SUBJECT });
  });

  const members = [
    "org.member.added",
    "org.member.removed",
    "org.member.joined_via_domain",
    "org.member.joined_via_invite",
    "group.member.added",
    "group.member.removed",
    "role.assigned",
    "role.unassigned",
    "invitation.accepted",
  ];
  it.each(members)("%s concerns the member it names", (event) => {
    for (const data of [
      { user_id: SUBJECT, org_id: ORGANIZATION },
      { member_id: SUBJECT },
      { user: { id: SUBJECT, email: "ada@acme.eu" } },
      { id: GROUP, user_id: SUBJECT, group_id: GROUP },
    ]) {
      expect(parse(envelope(event, data))).toMatchObject({ concerns: "subject", event, subject: SUBJECT });
    }
  });

  it.each(members)("%s never takes an `id` of its own for a person's", (event) => {
    expect(parse(envelope(event, { id: GROUP })).concerns).not.toBe("subject");
  });

  it.each(["group.member.added", "group.member.removed"])("%s concerns its group when it names no member", (event) => {
    expect(parse(envelope(event, { group_id: GROUP, group_name: "Finance" }))).toMatchObject({
      concerns: "group",
      group: { id: GROUP, name: "Finance" },
    });
    expect(parse(envelope(event, null))).toMatchObject({ concerns: "group", group: {} });
  });

  it.each(members.filter((event) => !event.startsWith("group.")))("%s without a member is ignored", (event) => {
    for (const data of [{ role: "admin" }, null, undefined, { user: null }, { user: "ada" }]) {
      expect(parse(envelope(event, data))).toMatchObject({
        concerns: "ignored",
        reason: `event ${event} names no user`,
      });
    }
  });
});

describe("a webhook that does not concern provisioning", () => {
  it.each([
    "user.password.changed",
    "user.login",
    "user.login.failed",
    "user.login.new_device",
    "user.logout",
    "user.logout.all_sessions",
    "mfa.enrolled",
    "mfa.passkey.used",
    "password.reset",
    "password.breach_warning",
    "token.issued",
    "token.revoked",
    "agent.token.issued",
    "invitation.created",
    "invitation.expired",
    "scim.deprovisioning.anomaly",
    "access_review.launched",
    "access_review.access_revoked",
    "pam.break_glass.used",
    "pam.session.long_running",
    "an.event.of.tomorrow",
    "user.created.something",
    "USER.CREATED",
    "constructor",
    "__proto__",
  ])("%s is ignored with a reason", (event) => {
    for (const data of [USER, { user_id: SUBJECT }, {}, null, undefined]) {
      expect(parse(envelope(event, data))).toEqual({
        concerns: "ignored",
        event,
        deliveryId: DELIVERY,
        occurredAt: OCCURRED_AT,
        reason: `event ${event} does not concern provisioning`,
      });
    }
  });
});

describe("an audit sink's event", () => {
  it.each([
    "scim.user.create",
    "scim.user.update",
    "scim.user.deactivate",
    "scim.user.delete",
  ])("%s concerns its user and carries no user", (action) => {
    expect(parse(cloudEvent({ action, resource_id: SUBJECT }))).toEqual({
      concerns: "subject",
      about: action === "scim.user.delete" ? "deletion" : "user",
      event: action,
      deliveryId: DELIVERY,
      occurredAt: "2026-07-23T08:15:30.000000000Z",
      subject: SUBJECT,
      data: undefined,
    });
  });

  it("group.created names the group", () => {
    expect(parse(cloudEvent({ action: "group.created", resource_id: "Finance" }))).toMatchObject({
      concerns: "group",
      group: { name: "Finance" },
    });
  });

  it("group.created takes even a name that looks like an id for a name", () => {
    expect(parse(cloudEvent({ action: "group.created", resource_id: GROUP }))).toMatchObject({
      group: { name: GROUP },
    });
  });

  it.each(["group.deleted", "group.updated"])("%s gives the group's id", (action) => {
    expect(parse(cloudEvent({ action, resource_id: GROUP }))).toMatchObject({
      concerns: "group",
      group: { id: GROUP },
    });
  });

  it.each([
    "user.login",
    "client.create",
    "role.assign",
    "scim.group.update",
    "org.update",
  ])("%s is ignored with a reason", (action) => {
    expect(parse(cloudEvent({ action, resource_id: "whatever" }))).toMatchObject({
      concerns: "ignored",
      reason: `audit action ${action} does not concern provisioning`,
    });
  });

  it.each(["failure", "denied", ""])("with the status %j is ignored: nothing has changed", (status) => {
    expect(parse(cloudEvent({ action: "scim.user.delete", resource_id: SUBJECT, status }))).toMatchObject({
      concerns: "ignored",
      reason: "audit action scim.user.delete did not succeed",
    });
  });

  it("without a status is believed", () => {
    const body = cloudEvent({ action: "scim.user.update", resource_id: SUBJECT, status: undefined });
    expect(parse(body)).toMatchObject({ concerns: "subject", subject: SUBJECT });
  });

  it.each([
    undefined,
    null,
    "ada@acme.eu",
    "",
    `${SUBJECT} `,
  ])("of a user whose id is %j is malformed", (resource_id) => {
    expect(() => parse(cloudEvent({ action: "scim.user.update", resource_id }))).toThrow(MalformedDelivery);
  });
});

describe("the organization", () => {
  it.each([
    "user.created",
    "user.deleted",
    "user.suspended",
    "group.member.added",
    "role.assigned",
    "user.login",
  ])("of %s must be the one whose address it was posted to", (event) => {
    expect(() => parse(envelope(event, { ...USER, org_id: OTHER_ORGANIZATION }))).toThrow(ForeignOrganization);
  });

  it.each(["scim.user.delete", "group.created", "user.login"])("of the audit action %s must be it too", (action) => {
    const body = cloudEvent({ action, resource_id: SUBJECT }, { orgid: OTHER_ORGANIZATION });
    expect(() => parse(body)).toThrow(ForeignOrganization);
  });

  it("is the same in upper case", () => {
    expect(parse(envelope("user.created", { ...USER, org_id: ORGANIZATION.toUpperCase() })).concerns).toBe("subject");
    const body = cloudEvent({ action: "group.created", resource_id: "x" }, { orgid: ORGANIZATION.toUpperCase() });
    expect(parse(body).concerns).toBe("group");
  });

  it.each(["user.created", "user.updated", "user.deleted"])("must be named by %s", (event) => {
    for (const org_id of [undefined, null, 5, {}]) {
      expect(() => parse(envelope(event, { ...USER, org_id }))).toThrow(MalformedDelivery);
    }
  });
});

describe("a malformed delivery", () => {
  it.each([
    ["an id that is no UUID", { id: "ada", org_id: ORGANIZATION }],
    ["an id with something behind it", { id: `${SUBJECT}\u0000`, org_id: ORGANIZATION }],
    ["an id that is a path", { id: `../users/${SUBJECT}`, org_id: ORGANIZATION }],
    ["an id that is a number", { id: 5, org_id: ORGANIZATION }],
    ["an id that is an object", { id: { toString: SUBJECT }, org_id: ORGANIZATION }],
    ["no id", { org_id: ORGANIZATION }],
    ["data that is null", null],
    ["data that is a list", [USER]],
    ["data that is a text", "user"],
  ])("is one with %s", (_, data) => {
    expect(() => parse(envelope("user.deleted", data))).toThrow(MalformedDelivery);
  });

  it.each([
    ["no id", { id: undefined }],
    ["an empty id", { id: "" }],
    ["an id that is a number", { id: 5 }],
    ["an endless id", { id: "x".repeat(201) }],
    ["no event", { event: undefined }],
    ["an empty event", { event: "" }],
    ["an endless event", { event: "x".repeat(201) }],
    ["no time", { occurred_at: undefined }],
    ["a time without a zone", { occurred_at: "2026-07-23T08:15:30" }],
    ["a time that is a number", { occurred_at: 1784794530 }],
  ])("is an envelope with %s", (_, rest) => {
    expect(() => parse(envelope("user.created", USER, rest))).toThrow(MalformedDelivery);
  });

  it.each([
    ["no organization", { orgid: undefined }],
    ["an organization that is no UUID", { orgid: "acme" }],
    ["no time", { time: undefined }],
    ["no id", { id: undefined }],
    ["no data", { data: undefined }],
    ["no action", { data: { status: "success", resource_id: SUBJECT } }],
    ["a version that is a number", { specversion: 1 }],
  ])("is an audit event with %s", (_, rest) => {
    expect(() => parse(cloudEvent({ action: "scim.user.update", resource_id: SUBJECT }, rest))).toThrow(
      MalformedDelivery,
    );
  });

  it("names every problem at once, and no value of the body", () => {
    const secret = "ada@acme.eu";
    const body = { id: 5, event: "", occurred_at: secret, data: secret };
    const problem = (() => {
      try {
        return parse(body);
      } catch (error) {
        return (error as Error).message;
      }
    })();
    for (const field of ["id: ", "event: ", "occurred_at: "]) expect(problem).toContain(field);
    expect(problem).not.toContain(secret);
  });
});

describe("hostile bytes", () => {
  it.each([
    ["nothing", ""],
    ["white space", "  \n"],
    ["half a body", '{"id":"x","event":"user.crea'],
    ["two bodies", "{}{}"],
    ["a number", "1"],
    ["null", "null"],
    ["a list", "[]"],
    ["a text", '"user.created"'],
    ["an endless number", `1${"0".repeat(100_000)}`],
    ["a comment", "/* */ {}"],
    ["NaN", '{"id":NaN}'],
    ["very deep nesting", "[".repeat(200_000)],
  ])("that are %s are malformed", (_, body) => {
    expect(() => parseText(body)).toThrow(MalformedDelivery);
  });

  it("that are not UTF-8 are malformed, not repaired", () => {
    const body = Buffer.from(JSON.stringify(envelope("user.created", { ...USER, first_name: "Zoë" })), "latin1");
    expect(() => parseText(body)).toThrow(MalformedDelivery);
    expect(() => parseText(Uint8Array.from([0xff, 0xfe, 0x7b, 0x00]))).toThrow(MalformedDelivery);
  });

  it("with the keys of prototypes change nothing but themselves", () => {
    const extra = '"__proto__":{"org_id":"x","polluted":true},"constructor":{"prototype":{"polluted":true}}';
    const body = `{${extra},"id":"${DELIVERY}","event":"user.deleted","occurred_at":"${OCCURRED_AT}","data":{${extra},"id":"${SUBJECT}","org_id":"${ORGANIZATION}"}}`;
    expect(parseText(body)).toMatchObject({ concerns: "subject", subject: SUBJECT });
    expect("polluted" in {}).toBe(false);
  });

  it("cannot hide what is needed behind a prototype", () => {
    const data = `{"__proto__":{"id":"${SUBJECT}","org_id":"${ORGANIZATION}"}}`;
    const body = `{"id":"${DELIVERY}","event":"user.deleted","occurred_at":"${OCCURRED_AT}","data":${data}}`;
    expect(() => parseText(body)).toThrow(MalformedDelivery);
  });

  it("with a key twice mean the last one, as in Clavex's own database", () => {
    const body = `{"id":"first","id":"${DELIVERY}","event":"user.login","event":"user.deleted","occurred_at":"${OCCURRED_AT}","data":{"org_id":"${ORGANIZATION}","id":"${GROUP}","id":"${SUBJECT}"}}`;
    expect(parseText(body)).toMatchObject({ event: "user.deleted", deliveryId: DELIVERY, subject: SUBJECT });
  });

  it("with a foreign organization first and the right one last are for the right one", () => {
    const body = `{"id":"${DELIVERY}","event":"user.deleted","occurred_at":"${OCCURRED_AT}","data":{"id":"${SUBJECT}","org_id":"${OTHER_ORGANIZATION}","org_id":"${ORGANIZATION}"}}`;
    expect(parseText(body).concerns).toBe("subject");
  });

  it("with huge numbers, \\u0000 and deep nesting in fields that nobody reads are read as any other", () => {
    const deep = "[".repeat(50_000) + "]".repeat(50_000);
    const body = `{"id":"${DELIVERY}","event":"user.updated","occurred_at":"${OCCURRED_AT}","data":{"id":"${SUBJECT}","org_id":"${ORGANIZATION}","n":1e400,"m":-123456789012345678901234567890,"z":"\\u0000","deep":${deep}}}`;
    expect(parseText(body)).toMatchObject({ concerns: "subject", subject: SUBJECT });
  });

  it("that are both an envelope and an audit event are one of them, and still of this organization", () => {
    const both = { ...envelope("user.deleted", USER), ...cloudEvent({ action: "user.login" }) };
    expect(parse(both).concerns).toBe("ignored");
    expect(() => parse({ ...both, orgid: OTHER_ORGANIZATION })).toThrow(ForeignOrganization);
  });
});

describe("what a hint is about", () => {
  const webhook = (event: string): Hint => parse(envelope(event, { user_id: SUBJECT, org_id: ORGANIZATION }));
  const audit = (action: string): Hint => parse(cloudEvent({ action, resource_id: SUBJECT }));

  it("is a deletion after user.deleted and scim.user.delete", () => {
    expect(webhook("user.deleted")).toMatchObject({ about: "deletion" });
    expect(audit("scim.user.delete")).toMatchObject({ about: "deletion" });
  });

  // A suspended or deprovisioned user is still there and may come back: a tombstone would be final.
  it.each([
    webhook("user.suspended"),
    webhook("scim.user.deprovisioned"),
    webhook("org.member.removed"),
    audit("scim.user.deactivate"),
  ])("is the user, and no deletion, after $event", (hint) => {
    expect(hint).toMatchObject({ about: "user" });
  });

  it.each([
    webhook("group.member.added"),
    webhook("group.member.removed"),
    parse(envelope("group.member.added", { group_id: GROUP })),
    audit("group.created"),
    audit("group.deleted"),
    audit("group.updated"),
  ])("is memberships after $event", (hint) => {
    expect(hint).toMatchObject({ about: "membership" });
  });
});
