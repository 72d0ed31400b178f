import * as z from "zod";
import { ConfigurationError } from "./failure.ts";
import { groupId, hasRawIds, identitySchema, schemeOf } from "./identity.ts";
import { type JsonProblem, jsonProblem } from "./json.ts";
import { inWords } from "./problems.ts";
import { InvalidQuota, parseQuota, type Quota } from "./quota.ts";
import { type Found, together } from "./together.ts";

const SLUG = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** True for a text that can be an organization's slug: `a-z0-9-`, at most 63 characters. */
export function isSlug(text: string): boolean {
  return SLUG.test(text);
}

/** The address of a server, alone: what people copy from the browser has a page of it behind. */
const baseUrl = (server: "Clavex" | "Nextcloud") =>
  z.string().transform((text, context) => {
    const problem = addressProblem(text, server);
    if (problem === undefined) return normalAddress(text);
    context.addIssue({ code: "custom", message: problem });
    return z.NEVER;
  });

/** A server's address as documents have it, without slashes at its end. */
export function normalAddress(url: string): string {
  return new URL(url).href.replace(/\/+$/, "");
}

/** Pages and routes of the servers, from where on they are no part of the address. */
const PAGES = {
  Clavex: /\/(?:api\/v\d+|[^/]+\/\.well-known)(?:\/.*)?$/,
  Nextcloud: /\/(?:[a-z]+\.php|login|apps\/(?:dashboard|files|user_oidc)|settings\/[a-z]+)(?:\/.*)?$/,
} as const;

/** What is wrong with the form of a server's address, as the end of a sentence; undefined when nothing is. */
export function addressProblem(text: string, server: keyof typeof PAGES): string | undefined {
  if (!URL.canParse(text))
    return `is not a URL: write one such as https://${server === "Clavex" ? "id" : "nextcloud"}.example.org`;
  const url = new URL(text);
  if (url.username || url.password) return "must not hold credentials: remove what stands before the @";
  const isPlain = url.protocol === "http:" && isLoopback(url);
  if (url.protocol !== "https:" && !isPlain) return "must be https: (http: only for this machine's loopback addresses)";
  const [path] = url.pathname.split(PAGES[server]);
  const short = `${url.origin}${path}`.replace(/\/+$/, "");
  if (path !== url.pathname) return `must be the address of ${server} alone: write "${short}"`;
  if (url.search || url.hash) return `must not have a query or a fragment: write "${short}"`;
  return undefined;
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

const REFERENCE = /^(?:ssm|env):[A-Za-z0-9_.-]+$/;
const secret = z
  .string()
  .regex(REFERENCE, 'must be a reference, never a secret itself: "ssm:NAME", or "env:NAME" on one machine');

/** Most people who write `0 GB` mean no limit, or no rule. */
const NO_SPACE = 'would leave no space at all: write "none" for unlimited, "0 B" if no space is what you want';

/** A number alone counts bytes. Below this many, somebody has forgotten the unit. */
const FEWEST_BYTES_ALONE = 1024 ** 2;

const quota = z.string().transform((text, context) => {
  try {
    const quota = parseQuota(text);
    const problem = slipOf(text.trim(), quota);
    if (problem === undefined) return quota;
    context.addIssue({ code: "custom", message: problem });
  } catch (error) {
    if (!(error instanceof InvalidQuota)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
  return z.NEVER;
});

/** What is wrong with a quota that can be read, and that hardly anybody means. */
function slipOf(text: string, quota: Quota): string | undefined {
  if (quota === 0) return /^0\s*B$/i.test(text) ? undefined : NO_SPACE;
  if (!/^[\d.]+$/.test(text) || Number(quota) >= FEWEST_BYTES_ALONE) return undefined;
  return `would be ${text} bytes: write "${text} GB", or "${text} B"`;
}

/** The Nextcloud group whose members may do everything. */
export const ADMIN = "admin";

const text = z.string().min(1);
const patterns = z.array(text);
const action = z.enum(["disable", "delete", "keep"]);

const identity = z.preprocess(
  (value) => (isRecord(value) && value.scheme === undefined ? { scheme: "user_oidc", ...value } : value),
  identitySchema,
);

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What follows from all documents together; for an organization that is looked at alone there are no others. */
interface Neighbourhood {
  /** What the ids of other organizations' groups begin with. */
  reservedPrefixes: readonly string[];
  /** Whether another organization on the same Nextcloud has the same account ids. */
  sharesIds?: boolean;
  /** The accounts that the pipeline works with for other organizations on the same Nextcloud. */
  actingAccounts?: readonly string[];
}

/** An organization's document: what docs/configuration.md describes, with every default filled in. */
export const organizationSchema = z
  .strictObject({
    slug: z.string().regex(SLUG, { error: ({ input }) => slugProblem(String(input)) }),
    organizationId: z.guid({ error: organizationIdProblem }).toLowerCase(),
    clavex: z.strictObject({
      baseUrl: baseUrl("Clavex"),
      webhookSecrets: z.array(secret),
      apiKey: secret.optional(),
    }),
    nextcloud: z.strictObject({
      baseUrl: baseUrl("Nextcloud"),
      username: text,
      password: secret,
      skeleton: z.enum(["default", "empty"]).default("default"),
    }),
    identity,
    scope: z.strictObject({ groups: patterns.default([]), verifiedEmailOnly: z.boolean().default(false) }).prefault({}),
    groups: z
      .strictObject({
        managed: patterns.default(["*"]),
        never: patterns.default([]),
        always: z
          .array(text.refine((gid) => gid.trim() !== ADMIN, "must not make everybody an administrator: remove it"))
          .default([]),
        prefix: z.string().default(""),
        adopt: z.array(text).default([]),
      })
      .prefault({}),
    quota: z
      .strictObject({
        default: quota.optional(),
        byGroup: z.record(text, quota).default({}),
        attribute: text.default("nextcloud_quota"),
      })
      .prefault({}),
    deprovision: z
      .strictObject({
        suspended: action.default("disable"),
        deleted: action.default("disable"),
        outOfScope: action.default("disable"),
        erased: z.enum(["disable", "anonymise"]).default("disable"),
        graceDays: z.int().min(0).max(3650).default(30),
      })
      .prefault({}),
    reconcile: z
      .strictObject({
        maxDeprovisions: z
          .strictObject({
            /** Without one see `hourlyLimit`. */
            count: z.int().min(0).optional(),
            percent: z.number().min(0).max(100).default(5),
            /** Raises an alarm, and holds nobody; without one see `dailyLimit`. */
            daily: z.int().min(0).optional(),
          })
          .prefault({}),
        maxLeaves: z
          .strictObject({ count: z.int().min(0).default(50), percent: z.number().min(0).max(100).default(10) })
          .prefault({}),
      })
      .prefault({}),
  })
  .refine(needsNoMissingKey, {
    path: ["scope", "groups"],
    message: "needs clavex.apiKey: without it nobody's groups can be read",
    // Also when something else is wrong: all problems are reported together.
    when: () => true,
  })
  .refine(hasNoSlugBehind, {
    path: ["clavex", "baseUrl"],
    message: "must be Clavex's address without the slug: remove it from the end",
    when: () => true,
  })
  .refine(learnsOfChanges, {
    path: ["clavex", "webhookSecrets"],
    message: "needs at least one reference, or clavex.apiKey: without both nobody's changes are ever seen",
    when: () => true,
  })
  .transform((document): typeof document & Neighbourhood => ({
    ...document,
    reservedPrefixes: [],
  }));

function slugProblem(slug: string): string {
  const written = slug.trim().toLowerCase();
  return isSlug(written)
    ? `must be in small letters: write "${written}"`
    : "may hold a-z, 0-9 and - only, at most 63 characters, with no - at either end";
}

function organizationIdProblem({ input }: { input?: unknown }): string {
  const problem = input === undefined ? "is missing: write" : "must be";
  return `${problem} the organization's UUID in Clavex, such as "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10"; setup looks it up`;
}

/** The address of a page of Clavex has it, and so has the issuer. Sees documents in which other things are wrong, too. */
function hasNoSlugBehind(document: unknown): boolean {
  const { slug, clavex } = isRecord(document) ? document : {};
  const { baseUrl: url } = isRecord(clavex) ? clavex : {};
  if (typeof slug !== "string" || typeof url !== "string" || !URL.canParse(url)) return true;
  return !new URL(url).pathname.replace(/\/+$/, "").endsWith(`/${slug}`);
}

/** Deliveries or reconciliation. Sees documents in which other things are wrong, too. */
function learnsOfChanges(document: unknown): boolean {
  const { clavex } = isRecord(document) ? document : {};
  if (!isRecord(clavex) || clavex.apiKey !== undefined) return true;
  return !Array.isArray(clavex.webhookSecrets) || clavex.webhookSecrets.length > 0;
}

/** Sees documents in which other things are wrong, too. */
function needsNoMissingKey(document: unknown): boolean {
  const { scope, clavex } = isRecord(document) ? document : {};
  const scoped = isRecord(scope) && Array.isArray(scope.groups) && scope.groups.length > 0;
  return !scoped || !isRecord(clavex) || clavex.apiKey !== undefined;
}

/** One organization's configuration, validated, with all defaults. */
export type Organization = z.output<typeof organizationSchema>;

/** Whether an account of one of its ids may be another organization's, even one of another pipeline. */
export function mayShareIds({ identity, sharesIds = false }: Organization): boolean {
  return sharesIds || hasRawIds(identity);
}

/** Whether the pipeline itself works with the account of this id. Nextcloud finds accounts in any letter case. */
export function isActing({ nextcloud, actingAccounts = [] }: Organization, id: string): boolean {
  return [nextcloud.username, ...actingAccounts].some((name) => name.toLowerCase() === id.toLowerCase());
}

/** Why nothing is done for a person whose account the pipeline works with. */
export const OWN_ACCOUNT = "the pipeline works with this account: it is never changed or disabled";

/** Why nothing is done to an account that may be anybody's. */
export const UNCLAIMED =
  "unclaimed, still enabled: the person is gone, and the account may be another organization's; disable it by hand if it is not";

/**
 * What a valid document says and what has no effect, one sentence each. Such documents worked until somebody looked closely,
 * so they are not refused: that would stop everybody's provisioning, departures included, over a group.
 */
export function withoutEffect({ identity, groups }: Organization): string[] {
  const { hashesGroupIds } = schemeOf(identity);
  const notes: string[] = [];
  if (hashesGroupIds && groups.adopt.length > 0)
    notes.push(
      "groups.adopt does nothing: with hashed ids no group that was there before is joined, a second one of that name is created",
    );
  if (groups.managed.includes(ADMIN) && (hashesGroupIds || !ADMIN.startsWith(groupId(identity, groups.prefix))))
    notes.push('groups.managed names "admin", but no group here gets that id: it makes nobody an administrator');
  return notes;
}

/** A document as it was found: its text, and where (a file's path or a parameter's name) for messages. */
export interface OrganizationDocument {
  source: string;
  text: string;
}

/** Where secrets may come from: `env` on one machine, `ssm` on AWS. */
export type SecretScheme = "env" | "ssm";

/**
 * Validates one document.
 *
 * @param document the JSON text and where it was found
 * @param secrets the kind of secret references that can be resolved where this runs
 * @returns the organization, or every problem as `source: path: message`
 */
export function parseOrganization(
  document: OrganizationDocument,
  secrets: SecretScheme,
): { organization: Organization; problems?: never } | { problems: string[]; organization?: never } {
  const unreadable = jsonProblem(document.text);
  if (unreadable) return { problems: [`${document.source}: ${told(unreadable)}`] };
  const json: unknown = JSON.parse(document.text);
  const result = organizationSchema.safeParse(json, { error: inWords });
  const problems = [...withoutFollowing(result.error?.issues ?? []).map(describe), ...foreignReferences(json, secrets)];
  if (!result.success || problems.length > 0) {
    return { problems: problems.map((problem) => `${document.source}: ${problem}`) };
  }
  return { organization: result.data };
}

/** Line and column as editors count them. */
function told({ line, column, duplicate, message }: JsonProblem): string {
  const place = `(line ${line}, column ${column})`;
  return duplicate === undefined ? `is not JSON ${place}: ${message}` : `${duplicate}: ${message} ${place}`;
}

/** Leaves out keys that are missing only because they are misspelt: that is reported already. */
function withoutFollowing(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  const meant = new Set(
    issues.flatMap(({ code, path, message }) => {
      const near = code === "unrecognized_keys" ? /did you mean "(.+)"/.exec(message)?.[1] : undefined;
      return near === undefined ? [] : [[...path, near].join(".")];
    }),
  );
  return issues.filter(({ code, path }) => code === "unrecognized_keys" || !meant.has(path.join(".")));
}

function describe({ path, message }: z.core.$ZodIssue): string {
  return path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`;
}

/** References that are well formed, but cannot be read where this runs. */
function foreignReferences(document: unknown, secrets: SecretScheme): string[] {
  const { clavex, nextcloud } = isRecord(document) ? document : {};
  const { webhookSecrets, apiKey } = isRecord(clavex) ? clavex : {};
  const { password } = isRecord(nextcloud) ? nextcloud : {};
  const references: [string, unknown][] = [
    ...(Array.isArray(webhookSecrets) ? webhookSecrets : []).map((value, index): [string, unknown] => [
      `clavex.webhookSecrets.${index}`,
      value,
    ]),
    ["clavex.apiKey", apiKey],
    ["nextcloud.password", password],
  ];
  const advice = secrets === "env" ? 'on one machine write "env:NAME"' : 'on AWS write "ssm:NAME"';
  return references.flatMap(([path, value]) =>
    typeof value === "string" && REFERENCE.test(value) && !value.startsWith(`${secrets}:`)
      ? [`${path}: ${JSON.stringify(value)} cannot be read here; ${advice}`]
      : [],
  );
}

/**
 * Validates documents together.
 *
 * @returns one result for each document, in their order
 */
export function readOrganizations(documents: OrganizationDocument[], secrets: SecretScheme): Found[] {
  const found = together(
    documents.map((document) => {
      const { organization, problems = [] } = parseOrganization(document, secrets);
      const { source } = document;
      return { source, slug: organization?.slug ?? slugIn(document), organization, problems };
    }),
  );
  const taken = new Set(found.flatMap(({ organization }) => organization?.slug ?? []));
  return found.map((each) => (each.organization ? each : { ...each, slug: nameBeside(taken, each) }));
}

/** What a refused document is called where an organization that works has its slug: it must not vanish behind that. */
function nameBeside(taken: ReadonlySet<string>, { slug, source }: Found): string {
  const name = fileName(source);
  // A file's whole name is no slug.
  return [slug, name.replace(/\.json$/, "")].find((each) => !taken.has(each)) ?? name;
}

/** What a document that is wrong is called: its slug where it has one, else its file's name. */
function slugIn({ source, text }: OrganizationDocument): string {
  const name = fileName(source).replace(/\.json$/, "");
  try {
    const json: unknown = JSON.parse(text);
    return isRecord(json) && typeof json.slug === "string" && isSlug(json.slug) ? json.slug : name;
  } catch {
    return name;
  }
}

const fileName = (source: string): string => source.replace(/^.*[/\\]/, "");

/**
 * Validates documents that are only good all together.
 *
 * @throws {ConfigurationError} with every problem of every document at once, also of those that cannot stand together
 */
export function parseOrganizations(documents: OrganizationDocument[], secrets: SecretScheme): Organization[] {
  const found = readOrganizations(documents, secrets);
  const problems = found.flatMap((each) => each.problems);
  if (problems.length > 0) throw new ConfigurationError("organizations-invalid", problems);
  return found.flatMap(({ organization }) => organization ?? []);
}
