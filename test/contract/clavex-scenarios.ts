import { PASSWORD, RECORDED, type Scenario, type Step } from "./clavex-target.ts";

/* The ids are those of the recordings: each stands for what the step made. */

const ADA = "77677b89-9ecc-4f23-b954-b8eebb017c19";
const ADMIN = "ed11c2e1-b34e-4c6e-8a6b-b7f8f2f62ec6";
const BOB = "c10fa5ca-e772-4659-b2d1-c8a9bdc9b82d";
const CAROL = "ca3ba762-427d-4854-9e09-1a696ef7e74b";
const DAVE = "8fd04e71-d1f6-493e-a4ac-d670e589b149";
const ERIN = "22fd206c-6d42-498e-a8d0-e215536f3611";
const GRACE = "0fc3b03a-b1e2-441e-9881-85f1dc137d83";
const ENGINEERING = "435225f1-361e-485b-9389-1c858e03f7d4";
const EMPTY = "c461829d-516b-4e64-9632-68c56cf2ab03";
const SCIM_USER = "c6b32d8b-1fb6-4105-8754-5d0477515d48";
const SCIM_GROUP = "cf0c646c-f064-49d9-9097-115fbc077590";
const NEXTCLOUD_CLIENT = "Xoengl4qUT19kCexNQCcO82j";
const CALLBACKS = ["https://cloud.example/apps/user_oidc/code", "https://cloud.example/index.php/apps/user_oidc/code"];
const TOKENS = { add_to_access_token: true, add_to_id_token: true, add_to_userinfo: true };
const EVENTS = ["user.created", "user.updated", "user.deleted"];

const user = (id: string, email: string, fields: Record<string, unknown> = {}): Step => ({
  call: ["POST", "users", { email, ...fields }],
  gives: { [id]: "id" },
});
const person = (id: string, first: string, last = "Test"): Step =>
  user(id, `${first.toLowerCase()}@acme.example`, { first_name: first, last_name: last });
const group = (id: string, name: string, fields: Record<string, unknown> = { description: "d" }): Step => ({
  call: ["POST", "groups", { name, ...fields }],
  gives: { [id]: "id" },
});
const join = (userId: string, groupId: string): Step => ({
  call: ["POST", `groups/${groupId}/members`, { user_id: userId }],
});
/** A key under a name, by which later steps use it. */
const key = (name: string, permissions: string[], fields: Record<string, unknown> = {}): Step => ({
  call: ["POST", "api-keys", { name, scope: "read-only", permissions, ...fields }],
  gives: { [`key ${name}`]: "key", [`id-of-${name}`]: "meta.id" },
});
const pipelineKey = key("pipeline", ["users:read", "groups:read"]);
const asPipeline = (...notes: string[]): Step[] => notes.map((play) => ({ play, as: "pipeline" }));
const revoke = (id: string): Step => ({ call: ["DELETE", `api-keys/${id}`] });
const subscribe = (id: string, path: string, events: string[] = EVENTS): Step => ({
  call: ["POST", "webhooks", { url: `https://hooks.example${path}`, events, event_filter: [] }],
  gives: { [id]: "id" },
});
const client = (id: string, name: string): Step => ({
  call: ["POST", "clients", { name, redirect_uris: CALLBACKS }],
  gives: { [id]: "client.client_id" },
});
const role = (name: string, userId: string): Step[] => [
  { call: ["POST", "roles", { name }], gives: { [`role-${name}`]: "id" } },
  { call: ["PUT", `roles/role-${name}/users/${userId}`] },
];

/** What 40 declared events a subscription asked for; Clavex takes any. */
const DECLARED = [
  ...EVENTS,
  ...["user.suspended", "user.reactivated", "user.email.verified", "user.password.changed", "user.login"],
  ...["user.login.failed", "user.logout", "mfa.success", "mfa.failed", "mfa.enrolled", "mfa.removed"],
  ...["password.reset", "password.reset.sent", "token.issued", "token.revoked", "token.refreshed"],
  ...["org.member.added", "org.member.removed", "org.member.joined_via_domain", "org.member.joined_via_invite"],
  ...["role.assigned", "role.unassigned", "group.member.added", "group.member.removed", "invitation.created"],
  ...["invitation.accepted", "invitation.expired", "scim.user.provisioned", "scim.user.deprovisioned"],
  ...["scim.deprovisioning.anomaly", "user.login.new_device", "user.login.suspicious", "user.login.new_country"],
  ...["user.login.blocked", "user.logout.all_sessions", "password.breach_warning", "gdpr.erasure", "user.erased"],
  ...["group.created", "group.deleted"],
];

const access: Scenario[] = [
  {
    title: "an administrator's login: the token is in the cookie only, and not everybody is an administrator",
    steps: [
      user(BOB, "bob@acme.example", { password: PASSWORD }),
      user(ADMIN, "admin@acme.example", { password: PASSWORD, first_name: "Admin" }),
      ...role("super_admin", ADMIN),
      { play: "login: wrong password", password: "Wrong-horse-battery-9" },
      "login of somebody without an admin role",
      "login: no token in the answer, the cookie clavex_admin is the token",
      { play: "the cookie without X-CSRF-Token", as: "cookie" },
    ],
  },
  {
    title: "credentials that are none",
    steps: [
      pipelineKey,
      { play: "a client-credentials token", token: "eyJhbGciOiJSUzI1NiJ9.e30.e30" },
      "key: no header",
      { play: "an API key sent as Bearer", as: "pipeline" },
      ...asPipeline(
        "users:read+groups:read key on /webhooks",
        "pipeline key: write user",
        "pipeline key: other org",
        "organization id in upper case",
      ),
      "superadmin token, unknown organization: empty list",
    ],
  },
  {
    title: "the list of organizations",
    simulatorOnly: "a real server has other organizations as well",
    steps: ["admin: org list"],
  },
  {
    title: "API keys: nobody grants what they do not hold, and a revoked key stays in the list",
    steps: [
      "create key: api_keys:read",
      "create key: expires in past",
      key("expired", ["users:read"], { expires_at: "2020-01-01T00:00:00Z" }),
      { play: "use expired key", as: "expired" },
      "mint a key (scope is not enforced)",
      key("setup-per-docs", ["security:write", "webhooks:write", "clients:write", "audit:write"]),
      { play: "non-escalation: a key may only grant what it holds itself", as: "setup-per-docs" },
      key("setup-complete", [
        ...["security:write", "webhooks:write", "clients:write", "audit:write"],
        ...["users:read", "groups:read"],
      ]),
      { play: "the same by a key that holds users:read and groups:read", as: "setup-complete" },
      revoke("780e73e8-eeba-48f4-9006-4065b55e89af"),
      key("revoked", ["users:read"]),
      revoke("id-of-revoked"),
      { play: "a revoked key", as: "revoked" },
    ],
  },
  {
    title: "the list of keys is newest first, with the revoked ones",
    steps: [
      key("setup-per-docs", ["security:write", "webhooks:write", "clients:write", "audit:write"]),
      { call: ["GET", "api-keys"], as: "setup-per-docs" },
      key("setup-complete", [
        ...["security:write", "webhooks:write", "clients:write", "audit:write"],
        ...["users:read", "groups:read"],
      ]),
      {
        call: ["POST", "api-keys", { name: "minted", scope: "read-only", permissions: ["users:read", "groups:read"] }],
        as: "setup-complete",
        gives: { "id-of-minted": "meta.id" },
      },
      revoke("id-of-minted"),
      { play: "revoked keys stay in the list (shortened to three)", shortened: true },
    ],
  },
  {
    title: "keys when their organization is gone",
    steps: [
      pipelineKey,
      {
        call: ["POST", "//api/v1/superadmin/api-keys", { name: "all", scope: "read-write" }],
        gives: { "key superadmin": "key" },
      },
      { call: ["DELETE", `//api/v1/organizations/${RECORDED.id}`] },
      ...asPipeline("key of a deleted organization"),
      { play: "superadmin key, deleted organization: empty list", as: "superadmin" },
    ],
  },
];

const hints: Scenario[] = [
  {
    title: "webhook subscriptions",
    steps: [
      "subscribe ok",
      "a secret of the caller is ignored: the answer has another",
      "wildcards are accepted and never fire",
      "subscribe not a URL",
      subscribe("9ea9e948-753b-47d8-a793-e65fc0eb2334", "/ok/all", DECLARED),
      subscribe("c121019f-29df-40d9-9d11-da3737325c69", "/ok/unknown", ["no.such.event"]),
      "list",
      subscribe("688bd439-7c20-4049-a490-e9626ff2b342", "/slow/x", ["user.created"]),
      "switch off /slow/x",
      "deliveries of an unknown webhook: empty list",
    ],
  },
  {
    title: "the deliveries of a subscription",
    simulatorOnly: "a real server posts to public addresses only",
    steps: [
      "subscribe ok",
      {
        simulate(clavex, organization, idOf) {
          const row = (id: string, delivery: string, at: string) =>
            clavex.management(organization).deliveries.push({
              id,
              webhook_id: idOf("4f33b8da-ffba-4388-bbf4-19e1a526fece"),
              delivery_id: delivery,
              event: "user.deleted",
              attempt: 1,
              status: "success",
              http_status: 200,
              attempted_at: at,
            });
          row(
            "d693622d-87fd-4a9a-b554-90ddfdaf0f70",
            "62593c39-db14-4c20-828f-c62677f505d0",
            "2026-11-25T17:56:55.226787Z",
          );
          row(
            "7a60878b-d3e3-4e81-929c-26c24292990e",
            "2bea5a5f-02ab-47ae-bfc7-3f10370037bc",
            "2026-11-25T17:56:55.214791Z",
          );
          row(
            "8a60878b-d3e3-4e81-929c-26c24292990e",
            "3bea5a5f-02ab-47ae-bfc7-3f10370037bc",
            "2026-11-25T17:56:54.214791Z",
          );
        },
      },
      "deliveries; payload is base64 of the JSONB text",
    ],
  },
  {
    title: "audit sinks: their secret is never shown, and deleting any id is answered alike",
    steps: [
      "sink as setup makes it",
      {
        call: [
          "POST",
          "audit/sinks",
          {
            name: "second",
            sink_type: "webhook",
            config: { url: "https://hooks.example/ok/sink", secret: "sink-secret-of-the-admin", headers: {} },
            filter_actions: [],
            filter_statuses: [],
          },
        ],
        gives: { "3a860573-ca20-4d10-b3a0-c6ea06ba92bd": "id" },
      },
      "sink: DELETE",
      "sink: DELETE of an unknown id",
    ],
  },
];

const login: Scenario[] = [
  {
    title: "OIDC clients: registration alone chooses the algorithm, and only the client by itself shows it",
    steps: [
      "jwks",
      client("Pmo1Kf627Lr8gSp7HoAOvrLV", "Admin Made"),
      "PATCH of the algorithm is ignored",
      "POST /clients ignores id_token_signed_response_alg and scopes",
      "dynamic registration without a token: RS256 kept, scope ignored",
      "ES256 is accepted (but see the token call below)",
      "register EdDSA",
      "one client: it has the algorithm",
    ],
  },
  {
    title: "the list of clients is sorted by name and hides the algorithm",
    steps: [
      ...["Zulu", "Yankee", "Xray", "Whiskey", "Victor"].map((name) => client(name, name)),
      "POST /clients ignores id_token_signed_response_alg and scopes",
      client("Pmo1Kf627Lr8gSp7HoAOvrLV", "Admin Made"),
      { play: "list of clients: no id_token_signed_response_alg (shortened to two)", shortened: true },
    ],
  },
  {
    title: "mappers",
    steps: [
      "dynamic registration without a token: RS256 kept, scope ignored",
      {
        call: [
          "POST",
          `clients/${NEXTCLOUD_CLIENT}/mappers`,
          { name: "nc-groups", mapper_type: "group_membership", claim_name: "groups", ...TOKENS },
        ],
      },
      {
        call: [
          "POST",
          `clients/${NEXTCLOUD_CLIENT}/mappers`,
          {
            name: "nc-email",
            mapper_type: "user_property",
            attribute_name: "email",
            claim_name: "email",
            ...TOKENS,
          },
        ],
      },
      "mapper nc-quota",
      "mapper again",
      "mappers list",
    ],
  },
  {
    title: "nothing can be signed for a client that asked for ES256",
    simulatorOnly: "the code comes from a login in a browser",
    steps: ["ES256 is accepted (but see the token call below)", "token call of the ES256 client: 500"],
  },
];

const NOT_FOUND: [number, unknown] = [404, { error: "Not Found", message: "Not Found" }];
const UNKNOWN = "11111111-1111-4111-8111-111111111111";

/** What setup and doctor ask besides; measured at the same server, and not recorded. */
const setup: Scenario[] = [
  {
    title: "empty lists, each in its own way, and what a key may do",
    steps: [
      { call: ["GET", "audit/sinks"], answers: [200, null] },
      { call: ["GET", "clients?limit=200&offset=0"], answers: [200, { items: [], has_more: false }] },
      { call: ["GET", "webhooks?limit=200"], answers: [200, { items: [], has_more: false }] },
      { call: ["GET", "api-keys"], answers: [200, []] },
      { call: ["GET", "users"], answers: [200, { items: [], has_more: false }] },
      { call: ["GET", "groups"], answers: [200, { items: [], has_more: false }] },
      pipelineKey,
      { call: ["GET", "my-admin-permissions"], as: "pipeline", answers: [200, ["users:read", "groups:read"]] },
    ],
  },
  {
    title: "a subscription is moved and deleted, a key revoked twice",
    steps: [
      "subscribe ok",
      {
        call: ["PATCH", "webhooks/4f33b8da-ffba-4388-bbf4-19e1a526fece", { url: "https://hooks.example/moved" }],
        answers: [
          200,
          {
            id: "4f33b8da-ffba-4388-bbf4-19e1a526fece",
            org_id: RECORDED.id,
            url: "https://hooks.example/moved",
            events: EVENTS,
            event_filter: [],
            is_active: true,
            created_at: "2026-11-25T17:55:46.688017Z",
            updated_at: "2026-11-25T17:55:46.688017Z",
          },
        ],
      },
      { call: ["DELETE", "webhooks/4f33b8da-ffba-4388-bbf4-19e1a526fece"], answers: [204] },
      { call: ["DELETE", "webhooks/4f33b8da-ffba-4388-bbf4-19e1a526fece"], answers: NOT_FOUND },
      { call: ["POST", "webhooks", { url: "https://hooks.example/", events: [] }], answers: [422, refusal("min")] },
      { call: ["GET", "webhooks?after=x"], answers: [400, { error: "Bad Request", message: "invalid cursor" }] },
      pipelineKey,
      { call: ["DELETE", "api-keys/id-of-pipeline"], answers: [204] },
      { call: ["DELETE", "api-keys/id-of-pipeline"], answers: [204] },
      { call: ["DELETE", `api-keys/${UNKNOWN}`], answers: NOT_FOUND },
    ],
  },
  {
    title: "a client is changed, gets another secret, and is deleted with its mappers",
    steps: [
      "dynamic registration without a token: RS256 kept, scope ignored",
      "mapper nc-quota",
      { call: ["POST", `clients/${NEXTCLOUD_CLIENT}/secret`], answers: [200, { client_secret: "***" }] },
      {
        call: ["DELETE", `clients/${NEXTCLOUD_CLIENT}/mappers/28b189c3-2939-4241-a2c3-f32ef85cedd1`],
        answers: [204],
      },
      { call: ["DELETE", `clients/${NEXTCLOUD_CLIENT}/mappers/${UNKNOWN}`], answers: NOT_FOUND },
      { call: ["GET", `clients/${NEXTCLOUD_CLIENT}/mappers`], answers: [200, []] },
      { call: ["DELETE", `clients/${NEXTCLOUD_CLIENT}`], answers: [204] },
      { call: ["GET", `clients/${NEXTCLOUD_CLIENT}`], answers: NOT_FOUND },
      { call: ["DELETE", `clients/${NEXTCLOUD_CLIENT}`], answers: NOT_FOUND },
      { call: ["GET", "clients/nobody/mappers"], answers: NOT_FOUND },
    ],
  },
];

function refusal(tag: string): Record<string, string> {
  return {
    error: "Unprocessable Entity",
    message: `Key: 'createWebhookRequest.Events' Error:Field validation for 'Events' failed on the '${tag}' tag`,
  };
}

const people: Scenario[] = [
  {
    title: "users are walked by `after`, sorted by e-mail address",
    steps: [
      pipelineKey,
      user(ADA, "Ada@Acme.Example", { first_name: "Ada", last_name: 'Lövelace <&> \u2028 "q"' }),
      "e-mail addresses differ by case: two users",
      "duplicate, same case",
      "bad email",
      "bad JSON",
      user(ADMIN, "admin@acme.example", { first_name: "Admin" }),
      person(BOB, "Bob"),
      person(CAROL, "Carol"),
      person(DAVE, "Dave"),
      person("frank", "Frank"),
      person("gina", "Gina"),
      person(GRACE, "Grace"),
      person("8cbfc79c-0690-408b-ae10-9ef89691e543", "Heidi"),
      person("2c960e28-6cd9-4828-b1f6-75e256ec780f", "Scope"),
      ...asPipeline("page 1 limit 3", "page 2", "page 4", "cursor= is ignored: page 1 again"),
      "delete the cursor's user",
      ...asPipeline("page after a deleted user: 500", "get unknown"),
    ],
  },
  {
    title: "users: attributes are replaced, PATCH ignores what it must not change, a deleted one is gone",
    steps: [
      pipelineKey,
      person(BOB, "Bob"),
      person(CAROL, "Carol"),
      "attributes: id and org_id come into the metadata",
      "attributes nested as the SDK sends them",
      "attributes PUT replaces",
      "PATCH ignores metadata and email",
      "PATCH suspend",
      person(ERIN, "Erin"),
      { call: ["DELETE", `users/${ERIN}`] },
      ...asPipeline("get erin"),
    ],
  },
  {
    title: "groups and their members",
    steps: [
      pipelineKey,
      person(BOB, "Bob"),
      person(CAROL, "Carol"),
      person(DAVE, "Dave"),
      { call: ["PATCH", `users/${BOB}`, { first_name: "Robert" }] },
      { call: ["PATCH", `users/${CAROL}`, { is_active: false }] },
      group(ENGINEERING, "Engineering"),
      group("2186aa8f-a094-4c92-93f8-3c9684117f39", " lead space"),
      group(EMPTY, "empty"),
      ...[BOB, CAROL, DAVE].map((each) => join(each, ENGINEERING)),
      "create group sales & <marketing>",
      "duplicate group name: 500",
      "an unknown user into a group",
      ...asPipeline("groups list", "members: partial users", "members of an empty group", "members of unknown group"),
      "no rename route",
    ],
  },
  {
    title: "an erasure keeps the row and takes the memberships",
    steps: [
      pipelineKey,
      user(BOB, "bob@acme.example", { first_name: "Bobby", last_name: "Self" }),
      person("1208df2a-ed6a-45da-977e-387ef9ed1efa", "Ivan"),
      person(GRACE, "Grace"),
      group(ENGINEERING, "Engineering"),
      ...[BOB, GRACE, "1208df2a-ed6a-45da-977e-387ef9ed1efa"].map((each) => join(each, ENGINEERING)),
      "erasure",
      { call: ["DELETE", `compliance/gdpr-erasure/${GRACE}`] },
      ...asPipeline("members after the erasure of one of them", "erased user", "erasure without the permission"),
    ],
  },
  {
    title: "what inbound SCIM made is read like anything else",
    steps: [
      pipelineKey,
      user(SCIM_USER, "scim.user@acme.example", { first_name: "Scim2", last_name: "User2" }),
      group(SCIM_GROUP, "Scim Group", {}),
      join(SCIM_USER, SCIM_GROUP),
      ...asPipeline("admin API after put", "group via admin API after put"),
      { call: ["DELETE", `users/${SCIM_USER}`] },
      ...asPipeline("admin API after scim delete"),
    ],
  },
];

export const scenarios: Scenario[] = [...access, ...hints, ...login, ...setup, ...people];

/** Recordings that are not played, because nothing of the pipeline makes such a request, and why they are kept. */
export const notPlayed: Record<string, string[]> = {
  "a person in a browser": ["login form: rate limit", "userinfo"],
  "an administrator in the console": ["manual retry", "sink test"],
  "another directory, by inbound SCIM": [
    "scim token",
    "SCIM: application/scim+json is refused",
    "scim create",
    "SCIM PUT with another userName: the address stays",
    "scim deactivate",
    "scim group",
    "SCIM PATCH displayName: answered 200, nothing changed",
    "scim delete user",
  ],
  "outbound SCIM push, which cannot be built upon": [
    "scim-push: create",
    "scim-push: an event that does not exist",
    "scim-push: list",
    "scim-push: deliveries",
    "scim-push: retry of a delivery: 202, nothing is sent",
    "scim-push: PATCH",
    "scim-push: DELETE",
    "scim-push: DELETE again",
  ],
  "a database that failed; faults of the simulator stand for it": [
    "database failure: list",
    "database failure: one user",
  ],
};
