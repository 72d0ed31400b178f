import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { organizationsFromFolder } from "../../functions/config/organizations.ts";
import { ConfigurationError } from "../../functions/core/failure.ts";
import { parseOrganization } from "../../functions/core/organization.ts";

/** A file that is right, as somebody would write it. */
const RIGHT = `{
  "slug": "acme",
  "organizationId": "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
  "clavex": { "baseUrl": "https://id.acme.eu", "webhookSecrets": ["env:WEBHOOK"], "apiKey": "env:API_KEY" },
  "nextcloud": { "baseUrl": "https://nextcloud.acme.eu", "username": "provisioner", "password": "env:PASSWORD" },
  "identity": { "scheme": "user_oidc", "providerId": 1 },
  "quota": { "default": "5 GB" }
}
`;

/** The file with one text in it replaced. */
function withText(from: string, to: string): string {
  if (!RIGHT.includes(from)) throw new Error(`the file has no ${from}`);
  return RIGHT.replace(from, () => to);
}
/** The file with another part in it. */
const withPart = (part: string): string => withText('"quota": { "default": "5 GB" }', part);
const withQuota = (quota: string): string => withText('"5 GB"', quota);

type Row = [name: string, content: string | Buffer, sentence: string];

const NOT_JSON: Row[] = [
  ["an empty file", "", "is not JSON (line 1, column 1): it is empty: write it as organizations/example.json shows"],
  [
    "blank lines alone",
    "\n\n",
    "is not JSON (line 3, column 1): it is empty: write it as organizations/example.json shows",
  ],
  [
    "a byte order mark",
    `\ufeff${RIGHT}`,
    "is not JSON (line 1, column 1): it begins with an invisible byte order mark: save it as UTF-8 without one (no BOM)",
  ],
  [
    "UTF-16",
    Buffer.from(`\ufeff${RIGHT}`, "utf16le"),
    "is not JSON (line 1, column 1): it is written in UTF-16: save it as UTF-8",
  ],
  [
    "UTF-16 without a mark",
    Buffer.from(RIGHT, "utf16le"),
    "is not JSON (line 1, column 1): it is written in UTF-16: save it as UTF-8",
  ],
  [
    "Latin-1",
    Buffer.from(withPart('"groups": { "never": ["Büro"] }'), "latin1"),
    "is not JSON (line 7, column 27): this character is not written in UTF-8: save the file as UTF-8",
  ],
  ["a comment above", `// ours\n${RIGHT}`, "is not JSON (line 1, column 1): JSON has no comments: remove it"],
  [
    "a comment between",
    withText('"identity"', '/* see there */ "identity"'),
    "is not JSON (line 6, column 3): JSON has no comments: remove it",
  ],
  [
    "a comment behind",
    withText('"acme",', '"acme", # the name'),
    "is not JSON (line 2, column 19): JSON has no comments: remove it",
  ],
  [
    "a trailing comma",
    withText('"5 GB" }', '"5 GB" },'),
    "is not JSON (line 7, column 33): this comma has nothing after it: remove it",
  ],
  [
    "a trailing comma in a list",
    withText('["env:WEBHOOK"]', '["env:WEBHOOK",]'),
    "is not JSON (line 4, column 80): this comma has nothing after it: remove it",
  ],
  [
    "a missing comma",
    withText('"acme",', '"acme"'),
    "is not JSON (line 3, column 3): a comma or a } is missing before this",
  ],
  [
    "a missing colon",
    withText('"slug":', '"slug"'),
    "is not JSON (line 2, column 10): a colon is missing between the key and its value",
  ],
  ["a missing bracket", RIGHT.slice(0, -3), "is not JSON (line 7, column 33): it ends too early: a } is missing"],
  [
    "a bracket too many",
    `${RIGHT}}`,
    "is not JSON (line 9, column 1): the document ends before this: remove what follows",
  ],
  [
    "single quotes",
    RIGHT.replaceAll('"', "'"),
    `is not JSON (line 2, column 3): put keys and texts in double quotes ("), not in others`,
  ],
  [
    "typographic quotes",
    withText('"acme"', "“acme”"),
    `is not JSON (line 2, column 11): put keys and texts in double quotes ("), not in others`,
  ],
  [
    "no quotes around a key",
    withText('"slug"', "slug"),
    "is not JSON (line 2, column 3): a key is missing here, or its double quotes",
  ],
  [
    "no quotes around a text",
    withText('"env:API_KEY"', "clv_0123456789"),
    "is not JSON (line 4, column 93): put a text in double quotes; only numbers, true, false and null stand without",
  ],
  [
    "no quotes around a quota",
    withQuota("5 GB"),
    "is not JSON (line 7, column 25): put a text in double quotes, and write a number in digits such as 5 or 0.5; only numbers, true, false and null stand without",
  ],
  [
    "a text without its end",
    withText('"acme"', '"acme'),
    'is not JSON (line 2, column 11): this text has no end: its second " is missing on this line',
  ],
  [
    "a backslash",
    withText('"provisioner"', '"ACME\\provisioner"'),
    "is not JSON (line 5, column 75): write two backslashes for one: \\\\",
  ],
  [
    "YAML",
    "slug: acme\n",
    "is not JSON (line 1, column 1): put a text in double quotes; only numbers, true, false and null stand without",
  ],
  [
    "one key twice",
    withText('"identity"', '"slug": "beta",\n  "identity"'),
    "slug: is there twice: remove one (line 6, column 3)",
  ],
  [
    "one key twice inside",
    withText('"username"', '"baseUrl": "https://other.acme.eu", "username"'),
    "nextcloud.baseUrl: is there twice: remove one (line 5, column 58)",
  ],
];

const WRONG: Row[] = [
  [
    "a list",
    `[${RIGHT}]`,
    "must be an object, not a list: write an organization's document, as organizations/example.json shows",
  ],
  [
    "null",
    "null",
    "must be an object, not null: write an organization's document, as organizations/example.json shows",
  ],
  ["an unknown key", withPart('"colour": "red"'), 'unknown key "colour": remove it'],
  ["a misspelt key", withPart('"Quota": {}'), 'unknown key "Quota": did you mean "quota"?'],
  [
    "a misspelt required key",
    withText('"baseUrl": "https://id', '"baseURI": "https://id'),
    'clavex: unknown key "baseURI": did you mean "baseUrl"?',
  ],
  ["several unknown keys", withPart('"colour": "red", "size": 5'), 'unknown keys "colour", "size": remove them'],
  [
    "several unknown keys, some of them misspelt",
    withPart('"Quota": {}, "scop": {}, "size": 5'),
    'unknown keys "Quota" (did you mean "quota"?), "scop" (did you mean "scope"?), "size": correct or remove them',
  ],
  [
    "a missing part",
    withText('"identity": { "scheme": "user_oidc", "providerId": 1 },', ""),
    'identity: is missing: write an object such as { "scheme": "user_oidc", "providerId": 1 }',
  ],
  [
    "a missing key",
    withText('"username": "provisioner", ', ""),
    `nextcloud.username: is missing: write the name of an administrator's account in Nextcloud, such as "provisioner"`,
  ],
  [
    "an empty text",
    withText('"provisioner"', '""'),
    `nextcloud.username: must not be empty: write the name of an administrator's account in Nextcloud, such as "provisioner"`,
  ],
  ["a slug with capital letters", withText('"acme"', '"Acme"'), 'slug: must be in small letters: write "acme"'],
  [
    "a slug with a space",
    withText('"acme"', '"acme gmbh"'),
    "slug: may hold a-z, 0-9 and - only, at most 63 characters, with no - at either end",
  ],
  [
    "a number as slug",
    withText('"acme"', "5"),
    `slug: must be a text, not a number: write the organization's slug in Clavex, such as "acme"`,
  ],
  [
    "a wrong UUID",
    withText("0b9d7d4e-8f5b", "0b9d7d4e8f5b"),
    `organizationId: must be the organization's UUID in Clavex, such as "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10"; setup looks it up`,
  ],
  [
    "null for a part",
    withText('{ "scheme": "user_oidc", "providerId": 1 }', "null"),
    'identity: must be an object, not null: write an object such as { "scheme": "user_oidc", "providerId": 1 }',
  ],
  [
    "null for a key with a default",
    withQuota("null"),
    "quota.default: must be a text, not null: remove the key to have its default",
  ],
  [
    "http",
    withText("https://id", "http://id"),
    "clavex.baseUrl: must be https: (http: only for this machine's loopback addresses)",
  ],
  [
    "an address without https://",
    withText("https://id", "id"),
    "clavex.baseUrl: is not a URL: write one such as https://id.example.org",
  ],
  [
    "Nextcloud's login page",
    withText("cloud.acme.eu", "cloud.acme.eu/index.php/login"),
    'nextcloud.baseUrl: must be the address of Nextcloud alone: write "https://nextcloud.acme.eu"',
  ],
  [
    "a page of Nextcloud in a folder",
    withText("cloud.acme.eu", "cloud.acme.eu/cloud/apps/files/?dir=/"),
    'nextcloud.baseUrl: must be the address of Nextcloud alone: write "https://nextcloud.acme.eu/cloud"',
  ],
  [
    "Clavex's address with the slug",
    withText("id.acme.eu", "id.acme.eu/acme"),
    "clavex.baseUrl: must be Clavex's address without the slug: remove it from the end",
  ],
  [
    "Clavex's address with the slug and a slash",
    withText("id.acme.eu", "id.acme.eu/acme/"),
    "clavex.baseUrl: must be Clavex's address without the slug: remove it from the end",
  ],
  [
    "Clavex's discovery document",
    withText("id.acme.eu", "id.acme.eu/acme/.well-known/openid-configuration"),
    'clavex.baseUrl: must be the address of Clavex alone: write "https://id.acme.eu"',
  ],
  [
    "a query",
    withText("id.acme.eu", "id.acme.eu/?a=1"),
    'clavex.baseUrl: must not have a query or a fragment: write "https://id.acme.eu"',
  ],
  [
    "credentials in an address",
    withText("https://next", "https://me:hunter2@next"),
    "nextcloud.baseUrl: must not hold credentials: remove what stands before the @",
  ],
  [
    "a secret itself",
    withText("env:API_KEY", "clv_0123456789"),
    'clavex.apiKey: must be a reference, never a secret itself: "ssm:NAME", or "env:NAME" on one machine',
  ],
  [
    "a secret that is read on AWS",
    withText("env:API_KEY", "ssm:key"),
    'clavex.apiKey: "ssm:key" cannot be read here; on one machine write "env:NAME"',
  ],
  [
    "a secret that is not in a list",
    withText('["env:WEBHOOK"]', '"env:WEBHOOK"'),
    'clavex.webhookSecrets: must be a list, not a text: write a list of references, such as ["env:ACME_WEBHOOK_SECRET"]',
  ],
  [
    "neither secret nor API key",
    withText('["env:WEBHOOK"], "apiKey": "env:API_KEY"', "[]"),
    "clavex.webhookSecrets: needs at least one reference, or clavex.apiKey: without both nobody's changes are ever seen",
  ],
  [
    "a number as text",
    withText('"providerId": 1', '"providerId": "1"'),
    "identity.providerId: must be a number, not a text: write the provider's number, which occ user_oidc:provider shows",
  ],
  [
    "a number too small",
    withText('"providerId": 1', '"providerId": 0'),
    "identity.providerId: is too small: write more than 0",
  ],
  [
    "an unknown scheme",
    withText('"user_oidc"', '"saml"'),
    'identity.scheme: must be "user_oidc", "database" or "sociallogin"',
  ],
  ["a misspelt scheme", withText('"user_oidc"', '"user-oidc"'), 'identity.scheme: must be "user_oidc", exactly so'],
  [
    "5 GiB",
    withQuota('"5 GiB"'),
    `quota.default: "5 GiB" would be read by Nextcloud as 5 bytes: write "5 GB" (Nextcloud's GB is a power of 1024)`,
  ],
  [
    "0 GB",
    withQuota('"0 GB"'),
    'quota.default: would leave no space at all: write "none" for unlimited, "0 B" if no space is what you want',
  ],
  ["a quota without a unit", withQuota('"50"'), 'quota.default: would be 50 bytes: write "50 GB", or "50 B"'],
  ["half a unit", withQuota('"0.5"'), 'quota.default: would be 0.5 bytes: write "0.5 GB", or "0.5 B"'],
  [
    "a quota in words",
    withQuota('"unlimited"'),
    'quota.default: "unlimited" is not a quota: write a number with B, KB, MB, GB, TB or PB (such as "5 GB"), or "none"',
  ],
  ["a quota as number", withQuota("5"), "quota.default: must be a text, not a number: put it in double quotes"],
  [
    "a quota attribute that is no text",
    withText('"default": "5 GB"', '"attribute": ["quota"]'),
    "quota.attribute: must be a text, not a list: put it in double quotes",
  ],
  [
    "a quota of a group without a name",
    withText('"default": "5 GB"', '"byGroup": { "": "5 GB" }'),
    "quota.byGroup.: a key must not be empty: write a group's name",
  ],
  [
    "patterns that are no list",
    withPart('"groups": { "managed": "*" }'),
    "groups.managed: must be a list, not a text: put it in [ ]",
  ],
  [
    "an empty pattern",
    withPart('"groups": { "managed": [""] }'),
    "groups.managed.0: must not be empty: write one or remove it",
  ],
  [
    "admin for everybody",
    withPart('"groups": { "always": ["admin"] }'),
    "groups.always.0: must not make everybody an administrator: remove it",
  ],
  [
    "negative grace days",
    withPart('"deprovision": { "graceDays": -1 }'),
    "deprovision.graceDays: is too small: write 0 or more",
  ],
  [
    "too many grace days",
    withPart('"deprovision": { "graceDays": 99999 }'),
    "deprovision.graceDays: is too large: write 3650 or less",
  ],
  [
    "half a day",
    withPart('"deprovision": { "graceDays": 1.5 }'),
    "deprovision.graceDays: must be a whole number: write it without a point",
  ],
  [
    "a number without end",
    withPart('"reconcile": { "maxDeprovisions": { "count": 1e999 } }'),
    "reconcile.maxDeprovisions.count: is too large a number",
  ],
  [
    "a percentage over 100",
    withPart('"reconcile": { "maxDeprovisions": { "percent": 101 } }'),
    "reconcile.maxDeprovisions.percent: is too large: write 100 or less",
  ],
  [
    "another word for disable",
    withPart('"deprovision": { "deleted": "remove" }'),
    'deprovision.deleted: must be "disable", "delete" or "keep"',
  ],
  [
    "a capital letter in a word",
    withPart('"deprovision": { "deleted": "Disable" }'),
    'deprovision.deleted: must be "disable", exactly so',
  ],
  [
    "true as text",
    withPart('"scope": { "verifiedEmailOnly": "true" }'),
    "scope.verifiedEmailOnly: must be true or false, not a text: write true or false, without quotes",
  ],
  [
    "true in place of a part",
    withPart('"deprovision": true'),
    "deprovision: must be an object, not true: put it in { }",
  ],
];

it("organizations/example.json is right, and gives nobody a quota that nobody has decided on", async () => {
  const text = await readFile("organizations/example.json", "utf8");
  const { organization, problems } = parseOrganization({ source: "example.json", text }, "env");
  expect(problems).toBeUndefined();
  expect(organization?.quota).toEqual({ byGroup: {}, attribute: "nextcloud_quota" });
});

describe("a broken organization file gives one sentence, with its name, the key and what to do", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "organizations-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function problemsOf(content: string | Buffer): Promise<string[]> {
    await writeFile(join(folder, "acme.json"), content);
    const error = await organizationsFromFolder(folder).then(
      () => undefined,
      (reason) => reason,
    );
    return error instanceof ConfigurationError ? error.problems : [];
  }

  it("and a right one gives none", async () => {
    expect(await problemsOf(RIGHT)).toEqual([]);
    expect(await problemsOf(withText("id.acme.eu", "id.acme.eu/"))).toEqual([]);
    expect(await problemsOf(withQuota('"0 B"'))).toEqual([]);
  });

  it.each([...NOT_JSON, ...WRONG])("%s", async (_name, content, sentence) => {
    expect(await problemsOf(content)).toEqual([`${join(folder, "acme.json")}: ${sentence}`]);
  });
});
