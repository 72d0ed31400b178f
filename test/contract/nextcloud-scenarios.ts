import type { Provider } from "../../functions/simulated/nextcloud-state.ts";
import type { Scenario, Step } from "./nextcloud-target.ts";

const RAW_IDS: Provider[] = [{ id: 1, identifier: "clavex", uniqueUid: false, providerBasedId: false }];
const USERS = "/ocs/v2.php/cloud/users";
const GROUPS = "/ocs/v2.php/cloud/groups";
const OIDC_USER = "/ocs/v2.php/apps/user_oidc/api/v1/user";
const STRONG = "Correct-horse-battery-9";

type Version = 1 | 2;

const makeGroup = (groupid: string): Step => ({ call: ["POST", GROUPS, { groupid }] });
const makeUser = (userid: string, fields: Record<string, string> = {}): Step => ({
  call: ["POST", USERS, { userid, password: STRONG, ...fields }],
});
const makeOidcUser = (userId: string, fields: Record<string, string> = {}): Step => ({
  call: ["POST", OIDC_USER, { providerId: "1", userId, ...fields }],
});
const join = (userid: string, groupid: string): Step => ({ call: ["POST", `${USERS}/${userid}/groups`, { groupid }] });
const repeat = (times: number, step: Step): Step[] => Array.from({ length: times }, () => step);

/** Recordings of one version, by the part of their names after it. */
const plays = (version: Version, ...names: string[]): Step[] => names.map((name) => `v${version}-${name}`);

function transport(v: Version): Scenario[] {
  return [
    {
      title: `v${v}: answers outside the controllers`,
      where: "anywhere",
      names: ["full1", "full2", `noheader${v}`],
      steps: [
        ...plays(v, "no-auth", "no-ocs-header-get", "no-ocs-header-post", "unknown-route", "capabilities"),
        ...(v === 2 ? ["v2-unknown-route-formatjson", "v2-capabilities-anonymous"] : []),
        `v${v}-wrong-method`,
      ],
    },
    {
      title: `v${v}: XML without Accept, the list of groups`,
      where: "simulator",
      steps: [makeGroup("g2"), `v${v}-no-accept-xml`],
    },
    {
      title: `v${v}: wrong credentials are XML whatever is asked for`,
      where: "simulator",
      steps: plays(v, ...(v === 2 ? ["wrong-app-password"] : []), "wrong-app-password-formatjson"),
    },
    {
      title: `v${v}: a disabled account cannot authenticate`,
      where: "simulator",
      steps: [makeUser(`full${v}`), `v${v}-user-disable`, `v${v}-user-disabled-basic-auth`],
    },
    {
      title: `v${v}: maintenance`,
      where: "simulator",
      steps: [
        makeGroup("g2"),
        "v2-apppw-user-create-full",
        { call: ["PUT", `${USERS}/full2`, { key: "language", value: "en" }] },
        { call: ["PUT", `${USERS}/full2`, { key: "quota", value: "2 GB" }] },
        { simulate: (nextcloud) => (nextcloud.maintenance = true) },
        ...plays(v, "maintenance", "maintenance-formatjson"),
        ...(v === 2 ? ["v2-maintenance-post-user"] : []),
        "maintenance-status-php",
        { simulate: (nextcloud) => (nextcloud.maintenance = false) },
        "v2-after-maintenance",
      ],
    },
    {
      title: `v${v}: after more than ten failures good credentials fail too`,
      where: "simulator",
      options: { bruteForce: true },
      steps: [...repeat(11, `v${v}-wrong-app-password-formatjson`), `v${v}-bruteforce-max-good-creds`],
    },
    {
      title: `v${v}: an account that is no admin`,
      where: "anywhere",
      names: ["plain", `full${v}`, "g2", "zz"],
      steps: [
        makeUser("plain"),
        makeUser(`full${v}`),
        makeGroup("g2"),
        ...plays(v, "nonadmin-create-group", "nonadmin-create-user", "nonadmin-get-other", "nonadmin-get-self"),
        ...plays(v, "nonadmin-group-add", "nonadmin-list-groups", "nonadmin-list-users", "nonadmin-useroidc"),
      ],
    },
  ];
}

function users(v: Version): Scenario[] {
  const [full, min, g, h] = [`full${v}`, `min${v}`, `g${v}`, `h${v}`];
  return [
    {
      title: `v${v}: making core accounts`,
      where: "anywhere",
      names: [
        full,
        min,
        g,
        `fullj${v}`,
        `mg${v}`,
        `gdup${v}`,
        `be${v}`,
        `bl${v}`,
        `lde${v}`,
        `um${v}`,
        `npe${v}`,
        `np${v}`,
      ].concat([
        `weak${v}`,
        `weak2${v}`,
        `longp${v}`,
        `gstr${v}`,
        "m1",
        "m2",
        `MIN${v}`,
        `FULL${v}`,
        "no-such-group",
        "nobody",
      ]),
      steps: [
        makeGroup(g),
        ...plays(v, "user-create-minimal", "user-create-exists", "user-create-exists-othercase"),
        ...plays(v, "user-create-full", "user-delete", "apppw-user-create-full", "user-create-full-json"),
        ...plays(v, "user-get", "user-get-othercase", "user-get-unknown", "user-get-by-email"),
        ...plays(v, "user-create-missing-group", "user-create-groups-string", "user-create-groups-dup"),
        { play: `v${v}-user-create-weak-pass`, password: "password" },
        { play: `v${v}-user-create-common-pass`, password: "1234567890" },
        { play: `v${v}-user-create-long-pass-470`, password: "x".repeat(470) },
        ...plays(v, "user-create-no-pass-no-email", "user-create-no-pass-email", "user-create-bad-email"),
        ...plays(v, "user-get-after-bad-email", "user-create-bad-language", "user-get-after-bad-language"),
        ...plays(v, "user-create-language-de_DE", "user-create-unknown-manager"),
        ...(v === 2 ? [makeUser("m1", { email: "same@example.org" }), "v2-user-create-duplicate-email"] : []),
      ],
    },
    {
      title: `v${v}: ids that core accounts cannot have`,
      where: "simulator",
      steps: [
        ...plays(
          v,
          "user-create-empty-userid",
          "user-create-no-userid",
          "user-create-dot",
          "user-create-leading-space",
        ),
        ...plays(v, "user-create-reserved-files", "user-create-64-chars", "user-create-65-chars"),
        ...plays(v, "user-create-bad-chars-colon", "user-create-bad-chars-pipe", "user-create-bad-chars-plus"),
        ...plays(v, "user-create-bad-chars-slash", "user-create-bad-chars-unicode"),
      ],
    },
    {
      title: `v${v}: ids with spaces and punctuation in the path`,
      where: "simulator",
      steps: [
        `v${v}-user-create-chars-allowed`,
        makeUser("mail.user@example.org"),
        makeUser(`with space ${v}`),
        ...[`a_b_c@d_e_f_${v}`, "mail_user@example_org", `with_space_${v}`].flatMap((id) =>
          plays(v, `uname-${id}-get`, `uname-${id}-del`),
        ),
      ],
    },
    {
      title: `v${v}: PUT of a core account, one key a call`,
      // The rate limit leaves room for one of the two on a real server.
      where: v === 2 ? "anywhere" : "simulator",
      names: [full, g, "nobody"],
      steps: [
        makeGroup(g),
        `v${v}-apppw-user-create-full`,
        ...plays(v, "user-put-display-Disp2", "user-put-displayname-New_Name", "user-put-displayname-empty"),
        `v${v}-user-put-displayname-xxxxxxxxxxxxxxxxxxxx64`,
        `v${v}-user-put-displayname-xxxxxxxxxxxxxxxxxxxx65`,
        ...plays(v, "user-put-email-new@example.org", "user-put-email-bad", "user-put-email-empty"),
        ...plays(v, "user-put-quota-10737418240", "user-put-quota-none", "user-put-quota-default"),
        ...plays(v, "user-put-quota-5_GiB", "user-put-quota-1_GB"),
        ...plays(v, "user-put-quota-_1", "user-put-quota-abc", "user-put-quota-empty", "user-put-unknown-user"),
        // When the account was read, version 1's had got further than version 2's, which had run into the rate limit.
        ...(v === 1 ? plays(1, "user-put-language-fr", "user-put-json") : []),
        ...plays(v, "user-disable", "user-disable-again", "user-get-disabled", "user-enable", "user-enable-again"),
        ...(v === 2 ? plays(2, "user-put-language-fr", "user-put-json") : []),
        ...plays(v, "user-put-language-xx", "user-put-locale-de_DE"),
        ...plays(v, "user-put-organisation-Acme", "user-put-phone-_491712345678", "user-put-phone-abc"),
        ...plays(v, "user-put-nosuchkey-x", "user-put-enabled-false", "user-put-notify_email-x@y.z"),
        ...(v === 2 ? plays(2, "user-put-groups-g2", "user-put-username-x", "user-put-missing-value-formatjson") : []),
        { play: `v${v}-user-put-password-abc`, password: "abc" },
        ...plays(v, "user-put-password-ok", "user-put-json-int-quota", "user-put-missing-value"),
        ...plays(v, "user-delete", "user-delete-again"),
      ],
    },
    {
      title: `v${v}: managers`,
      where: "simulator",
      steps: [makeUser(full), ...plays(v, "user-put-manager-admin", "user-put-manager-empty")],
    },
    {
      title: `v${v}: what an admin may not do to themselves`,
      where: "simulator",
      steps: plays(v, "user-delete-self", "user-disable-self", "user-group-del-self-admin", "group-delete-admin"),
    },
    {
      title: `v${v}: memberships`,
      where: "anywhere",
      names: [full, g, h, `H${v}`, "nobody", "nogroup"],
      steps: [
        makeGroup(g),
        makeGroup(h),
        makeUser(full),
        join(full, g),
        ...plays(v, "user-groups-get", "user-groups-get-unknown", "user-disable-unknown"),
        ...plays(v, "user-group-add", "user-group-add-again", "user-group-add-case", "user-group-add-empty"),
        ...plays(v, "user-group-add-nogroup", "user-group-add-nouser", "user-group-del-form-body"),
        ...plays(v, "user-group-del-again-not-member", "user-group-del-nogroup", "user-group-del-nouser"),
        `v${v}-user-group-del-query`,
        join(full, g),
        ...plays(v, "user-group-del-json", "group-get-users", "group-delete", "group-delete-again"),
      ],
    },
    {
      title: `v${v}: lists of users`,
      where: "simulator",
      steps: [
        {
          simulate: (nextcloud) => {
            const quota = v === 1 ? "2 GB" : "1 GB";
            nextcloud.addLocalUser({ id: full, displayName: "x".repeat(64), quota, language: v === 1 ? "fr" : "de" });
          },
        },
        ...plays(v, "users-list-limit", "users-list-search", "users-details-limit"),
      ],
    },
  ];
}

function groups(v: Version): Scenario[] {
  const [g, gd] = [`g${v}`, `gd${v}`];
  return [
    {
      title: `v${v}: groups`,
      where: "anywhere",
      names: [g, gd, "nogroup", "nope"],
      steps: [
        ...plays(
          v,
          "group-create",
          "group-create-exists",
          "group-create-displayname",
          "group-get",
          "group-get-unknown",
        ),
        ...plays(v, "group-put-displayname", "group-put-unknown"),
      ],
    },
    {
      title: `v${v}: group ids that cannot be`,
      where: "simulator",
      steps: plays(v, "group-create-empty", "group-create-zero", "group-create-noparam", "group-create-65-chars"),
    },
    {
      title: `v${v}: lists of groups`,
      where: "simulator",
      steps: [
        makeGroup(v === 1 ? "g1" : ".."),
        makeGroup(v === 1 ? "zz" : "g2"),
        ...plays(v, "groups-details", "groups-search"),
        ...(v === 1 ? [{ call: ["DELETE", `${GROUPS}/zz`] } as Step] : []),
        `v${v}-groups-search-none`,
      ],
    },
  ];
}

/** Group names that need care in a path: the server decodes twice, so some fail when they are encoded once. */
function groupNames(): Scenario[] {
  const names = [
    "amp",
    "backslash",
    "colon",
    "dot",
    "emoji",
    "hash",
    "percent",
    "percent2f",
    "plus",
    "question",
    "quote",
  ];
  const encodedTwice = ["percent2f", "plus"];
  const scenario = (name: string): Scenario => ({
    title: `a group named with ${name}, in paths and parameters`,
    where: "anywhere",
    prefixGroups: true,
    steps: [
      `v2-gname-${name}-create`,
      ...["get-enc1", "get-enc2", "get-users-enc1"].map((call) => `v2-gname-${name}-${call}`),
      ...["adduser", "deluser-query", "delete-enc1"].map((call) => `v2-gname-${name}-${call}`),
      ...(encodedTwice.includes(name) ? [`v2-gname-${name}-delete-enc2`] : []),
    ],
  });
  const dots: Scenario = {
    title: "a group named .. cannot be reached by a path",
    where: "simulator",
    steps: [
      makeGroup(".."),
      ...[
        "create",
        "get-enc1",
        "get-enc2",
        "get-users-enc1",
        "adduser",
        "deluser-query",
        "delete-enc1",
        "delete-enc2",
      ].map((call) => `v2-gname-dotdot-${call}`),
    ],
  };
  return [...names, "slash", "space", "trail", "unicode", "users-suffix"].map(scenario).concat(dots);
}

/** user_oidc's pre-provisioning, with hashed (uq1) and raw (uq0) ids, and core's calls on its accounts. */
function preProvisioning(v: Version, uniqueUid: 0 | 1): Scenario {
  const sub = `sub-${uniqueUid}-${v}`;
  const call = (...names: string[]): Step[] => plays(v, ...names.map((name) => `uo-uq${uniqueUid}-${name}`));
  return {
    title: `v${v}: an account of user_oidc, uniqueUid ${uniqueUid}`,
    // A real server has the default, hashed ids; and its rate limit leaves no room for both versions.
    where: uniqueUid === 1 && v === 2 ? "anywhere" : "simulator",
    ...(uniqueUid === 1 ? {} : { options: { providers: RAW_IDS } }),
    names: ["eng"],
    subjects: [sub, `${sub}x`],
    steps: [
      makeGroup("eng"),
      ...call("create", "create-again-same", "create-again-changed", "core-get"),
      ...call("core-put-displayname", "core-put-email", "core-put-language", "core-put-password", "core-put-quota"),
      ...call("core-get-2", "core-disable", "core-get-disabled", "create-again-while-disabled", "core-get-disabled"),
      ...call("core-enable", "core-get-2", "core-group-add", "core-groups-get", "core-group-del"),
      ...call("core-create-same-uid", "delete-by-sub", "delete-by-uid", "delete-again", "core-get-deleted"),
      makeOidcUser(`${sub}x`),
      ...call("core-delete"),
    ],
  };
}

function preProvisioningTraps(uniqueUid: 0 | 1): Scenario {
  const call = (...names: string[]): Step[] => plays(2, ...names.map((name) => `uo-uq${uniqueUid}-${name}`));
  return {
    title: `the traps of pre-provisioning, uniqueUid ${uniqueUid}`,
    where: "simulator",
    ...(uniqueUid === 1 ? {} : { options: { providers: RAW_IDS } }),
    steps: [
      ...call(
        "create-minimal",
        "create-minimal-get",
        "create-json",
        "create-long",
        "create-unicode",
        "create-bad-email",
      ),
      ...call("create-unknown-provider", "create-no-provider", "create-no-userid", "create-empty-userid"),
      ...call("create-displayname-long", "create-quota-none", "create-quota-5GB", "create-quota-bytes"),
      ...call("create-quota-default", "create-quota-zero", "create-quota-neg", "create-quota-bad", "create-quota-GiB"),
      makeGroup("ops"),
      makeUser(`localuser${uniqueUid}`, { displayName: "Local", quota: "1 GB" }),
      join(`localuser${uniqueUid}`, "ops"),
      ...call("create-over-database-user", "create-over-database-user-get"),
      ...(uniqueUid === 1 ? ["v2-uo-create-json-int-quota", "v2-uo-create-json-int-userid"] : ["uo-dn-65-255"]),
    ],
  };
}

const UNUSUAL: Scenario[] = [
  {
    title: "two rows of one id: one hides the other, and a DELETE brings the other back",
    where: "simulator",
    options: { providers: RAW_IDS },
    steps: [
      makeGroup("pre1"),
      makeUser("shadow", { displayName: "DB name" }),
      join("shadow", "pre1"),
      makeOidcUser("shadow", { displayName: "OIDC name" }),
      ...["shadow-get", "shadow-list", "shadow-delete", "shadow-get-after-delete", "shadow-delete-2"],
      "shadow-get-after-delete-2",
    ],
  },
  {
    title: "a POST with a bad quota leaves the account behind, and the retry says that it exists",
    where: "anywhere",
    names: ["partial"],
    steps: ["partial-bad-quota", "partial-bad-quota-get", "partial-bad-quota-retry"],
  },
  {
    title: "a POST with a bad display name does not",
    where: "anywhere",
    names: ["dnlong"],
    steps: ["dn-too-long-rolls-back", "dn-too-long-rolls-back-get"],
  },
  {
    title: "the 51st PUT within 600 seconds",
    where: "simulator",
    options: { now: () => 1_795_440_000_000 },
    steps: [
      makeUser("full2"),
      ...repeat(50, { call: ["PUT", `${USERS}/full2`, { key: "language", value: "en" }] }),
      ...[
        "ratelimit-429-v2",
        "ratelimit-429-v1",
        "ratelimit-429-other-endpoint-ok",
        "ratelimit-429-post-user-still-ok",
      ],
    ],
  },
  {
    title: "app passwords and Bearer",
    where: "simulator",
    steps: [
      ...[
        "apppassword-get-with-apppassword",
        "apppassword-get",
        "bearer-apppassword-get",
        "bearer-apppassword-post-group",
      ],
      "bearer-apppassword-useroidc",
    ],
  },
  {
    title: "pages of users have the limit per backend",
    where: "simulator",
    // The recorded ids are hashes of subjects that are not known any more.
    options: { providers: RAW_IDS },
    steps: [
      makeOidcUser("42c4979eec9bbddd1b1e556280eacaee01a2f55025308d4c7b6ab21189c572ba", { displayName: "oidc 1" }),
      makeOidcUser("466970b6656723f86988b68ebabbcb7be06ba82869cbbdebee0d22a18f5c0e2c"),
      makeOidcUser("71b32ee2202fda8bd9fe78c1f2cbe6b2f65f128e2fdf6475dabbdaf87e42dae0", { displayName: "oidc 3" }),
      makeOidcUser("7213912c0409eb8ec4a4c2e6a6e33cf1e60b59152fe4de99c0af6b3a4345dc2e"),
      makeOidcUser("7f27e1735ff59b12cd7521f0305426fb37e69bcb3f0853a74455bf1ed9fa8a4f"),
      makeOidcUser("9996caa2439199a4b226cfc0b1ceeb5e2eae0c64ababc6a5a5c39b7763b368aa"),
      ...["dbu0", "dbu1", "dbu2", "dbu3", "dbu4"].map((id) => makeUser(id)),
      ...plays(2, "users-paging-limit_100_offset_0", "users-paging-limit_3_offset_0", "users-paging-limit_3_offset_3"),
      ...plays(2, "users-paging-limit_3_offset_6", "users-details-paging-limit_3_offset_0"),
      "v2-users-details-paging-limit_3_offset_6",
    ],
  },
];

/** What was sent for the recorded GETs (docs/facts/nextcloud.md 3): the POSTs themselves were not kept. */
const QUOTAS: Record<number, string> = {
  0: "5 GB",
  1: "5GB",
  2: "5gb",
  3: "5 GiB",
  4: "5120 MB",
  5: "5368709120",
  7: "none",
  8: "default",
  9: "0",
  10: "0 B",
  11: "",
  15: "5 XB",
  21: "123456789",
};

function quotas(): Scenario {
  const entries = Object.entries(QUOTAS);
  return {
    title: "quotas as they come back",
    where: "anywhere",
    names: entries.map(([index]) => `q2-${index}`),
    steps: entries.flatMap(([index, quota]) => [makeUser(`q2-${index}`, { quota }), `v2-quota-${index}-get`]),
  };
}

export const scenarios: Scenario[] = [
  ...([1, 2] as const).flatMap((version) => [...transport(version), ...users(version), ...groups(version)]),
  ...groupNames(),
  ...([1, 2] as const).flatMap((version) => [preProvisioning(version, 1), preProvisioning(version, 0)]),
  preProvisioningTraps(1),
  preProvisioningTraps(0),
  quotas(),
  ...UNUSUAL,
];
