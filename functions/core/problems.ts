import type * as z from "zod";

/** What to write for the required keys of an organization's document. */
const WHAT_TO_WRITE: Readonly<Record<string, string>> = {
  "": "an organization's document, as organizations/example.json shows",
  slug: 'the organization\'s slug in Clavex, such as "acme"',
  clavex: "an object with baseUrl, webhookSecrets and apiKey",
  "clavex.baseUrl": 'Clavex\'s address without the slug, such as "https://id.example.org"',
  "clavex.webhookSecrets": 'a list of references, such as ["env:ACME_WEBHOOK_SECRET"]',
  nextcloud: "an object with baseUrl, username and password",
  "nextcloud.baseUrl": 'Nextcloud\'s address, such as "https://nextcloud.example.org"',
  "nextcloud.username": 'the name of an administrator\'s account in Nextcloud, such as "provisioner"',
  "nextcloud.password": 'a reference, such as "env:ACME_NEXTCLOUD_APP_PASSWORD"',
  identity: 'an object such as { "scheme": "user_oidc", "providerId": 1 }',
  "identity.providerId": "the provider's number, which occ user_oidc:provider shows",
  "identity.providerName": "the provider's internal name in sociallogin",
};

const KINDS: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** How a value of this kind is written, for keys of which there is nothing more to say. */
const HOW_TO_WRITE: Readonly<Record<string, string>> = {
  string: "put it in double quotes",
  number: "write digits, without quotes",
  int: "write digits, without quotes or a point",
  boolean: "write true or false, without quotes",
  array: "put it in [ ]",
  object: "put it in { }",
  record: "put it in { }",
};

/** The messages of an organization's document, in place of zod's own: what is wrong, and what to do. Values are not quoted. */
export const inWords: z.core.$ZodErrorMap = (issue) => {
  const { code, input } = issue;
  const advice = WHAT_TO_WRITE[(issue.path ?? []).map(String).join(".")];
  switch (code) {
    case "invalid_type":
      return input === undefined && advice !== undefined
        ? `is missing: write ${advice}`
        : wrongKind(issue.expected, input, advice);
    case "too_small":
      if (issue.origin === "string")
        return `must not be empty: ${advice ? `write ${advice}` : "write one or remove it"}`;
      return `is too small: write ${issue.inclusive ? issue.minimum : `more than ${issue.minimum}`}${issue.inclusive ? " or more" : ""}`;
    case "too_big":
      return `is too large: write ${issue.maximum} or less`;
    case "invalid_value":
      return `must be ${choices(issue.values.map(String), input)}`;
    case "invalid_union":
      // Only `identity` is one, by its scheme.
      return `must be ${choices((issue.options as string[] | undefined) ?? [], (input as { scheme?: unknown })?.scheme)}`;
    case "unrecognized_keys":
      return unknownKeys(issue.keys, knownKeys(issue.inst));
    case "invalid_key":
      return "a key must not be empty: write a group's name";
    default:
      return undefined;
  }
};

/** The messages about what a program has written, in place of zod's own: what is wrong, in short. Values are not quoted. */
export const briefly: z.core.$ZodErrorMap = (issue) => {
  const { code, input } = issue;
  switch (code) {
    case "invalid_type":
      return input === undefined ? "is missing" : `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be ${choices(issue.values.map(String), undefined)}`;
    case "unrecognized_keys":
      return unknownKeys(issue.keys, []);
    case "custom":
      return undefined;
    default:
      return "is not as expected";
  }
};

function wrongKind(expected: string, input: unknown, advice: string | undefined): string {
  const kind = KINDS[expected] ?? expected;
  if (input === null && advice === undefined) return `must be ${kind}, not null: remove the key to have its default`;
  if (typeof input === "number" && KINDS[expected] && ["number", "int"].includes(expected)) {
    return Number.isFinite(input) ? "must be a whole number: write it without a point" : "is too large a number";
  }
  const given = input === null ? "null" : (KINDS[Array.isArray(input) ? "array" : typeof input] ?? "nothing");
  return `must be ${kind}, not ${typeof input === "boolean" ? String(input) : given}: ${advice ? `write ${advice}` : HOW_TO_WRITE[expected]}`;
}

function choices(values: readonly string[], input: unknown): string {
  const near = typeof input === "string" ? closest(input, values) : undefined;
  if (near !== undefined) return `${JSON.stringify(near)}, exactly so`;
  const quoted = values.map((each) => JSON.stringify(each));
  return quoted.length === 1 ? `${quoted[0]}` : `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
}

function unknownKeys(keys: readonly string[], known: readonly string[]): string {
  const told = keys.map((key) => {
    const near = closest(key, known);
    return { key: JSON.stringify(key), meant: near && `did you mean ${JSON.stringify(near)}?` };
  });
  const [first, ...more] = told;
  if (more.length === 0) return `unknown key ${first?.key}: ${first?.meant ?? "remove it"}`;
  const listed = told.map(({ key, meant }) => (meant ? `${key} (${meant})` : key)).join(", ");
  return `unknown keys ${listed}: ${told.some(({ meant }) => meant) ? "correct or remove them" : "remove them"}`;
}

function knownKeys(schema: unknown): string[] {
  const { shape = {} } = (schema as { _zod?: { def?: { shape?: object } } } | undefined)?._zod?.def ?? {};
  return Object.keys(shape);
}

/** What was probably meant: the same in other letter case, or with one or two letters wrong. */
function closest(text: string, known: readonly string[]): string | undefined {
  const least = (each: string) => distance(text.toLowerCase(), each.toLowerCase());
  const [best] = known.toSorted((one, other) => least(one) - least(other));
  if (best === undefined) return undefined;
  return least(best) <= Math.min(2, Math.floor(best.length / 3)) ? best : undefined;
}

/** How many letters have to be added, removed or replaced (Levenshtein). Long texts are far from everything. */
function distance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 2) return Number.POSITIVE_INFINITY;
  let above = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row += 1) {
    const line = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const replaced = (above[column - 1] ?? 0) + (one[row - 1] === other[column - 1] ? 0 : 1);
      line.push(Math.min((above[column] ?? 0) + 1, (line[column - 1] ?? 0) + 1, replaced));
    }
    above = line;
  }
  return above.at(-1) ?? 0;
}
