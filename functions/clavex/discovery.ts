import type { Dispatcher } from "undici";
import * as z from "zod";
import { type Answer, pathPrefix, readJson, send } from "../http.ts";
import { ClavexMisrouted } from "./errors.ts";
import { unreachable } from "./unreachable.ts";

/** The issuer of an organization's tokens: the base URL and its slug (docs/facts/clavex.md 8). */
export function issuerOf(baseUrl: string, slug: string): string {
  return `${baseUrl}/${slug}`;
}

/** Where the discovery document of an organization is. */
export function discoveryUrl(baseUrl: string, slug: string): string {
  return `${issuerOf(baseUrl, slug)}/.well-known/openid-configuration`;
}

/** The fields without which user_oidc refuses a discovery document, and those that doctor looks at. */
const documentSchema = z.object({
  issuer: z.string(),
  authorization_endpoint: z.string(),
  token_endpoint: z.string(),
  jwks_uri: z.string(),
  response_types_supported: z.array(z.string()),
  subject_types_supported: z.array(z.string()),
  id_token_signing_alg_values_supported: z.array(z.string()),
  scopes_supported: z.array(z.string()).optional(),
});
export type DiscoveryDocument = z.output<typeof documentSchema>;

const keysSchema = z.object({ keys: z.array(z.object({ kty: z.string(), kid: z.string().optional() })) });
export type SigningKey = z.output<typeof keysSchema>["keys"][number];

/** Gets a public document of Clavex, whatever its status. */
export async function getPublic(pool: Dispatcher, path: string): Promise<Answer> {
  return send(pool, { method: "GET", path, headers: { accept: "application/json" } }).catch((error) => {
    throw unreachable(error);
  });
}

/** The answer for the discovery document, unread. */
export function getDiscovery(pool: Dispatcher, baseUrl: string, slug: string): Promise<Answer> {
  return getPublic(pool, `${pathPrefix(baseUrl)}/${slug}/.well-known/openid-configuration`);
}

/** @throws {ClavexMisrouted} when it is not what user_oidc can use */
export function parseDiscovery(answer: Answer): DiscoveryDocument {
  if (answer.status === 404) throw new ClavexMisrouted("Clavex has no discovery document for this slug (HTTP 404)");
  if (answer.status !== 200) throw new ClavexMisrouted(`the discovery document is answered with HTTP ${answer.status}`);
  return parse(answer, documentSchema, "the discovery document");
}

/** The keys that id tokens are signed with. */
export async function readKeys(pool: Dispatcher, document: DiscoveryDocument): Promise<SigningKey[]> {
  const { pathname, search } = new URL(document.jwks_uri);
  const answer = await getPublic(pool, `${pathname}${search}`);
  if (answer.status !== 200) throw new ClavexMisrouted(`the key set is answered with HTTP ${answer.status}`);
  return parse(answer, keysSchema, "the key set").keys;
}

function parse<T>(answer: Answer, schema: z.ZodType<T>, what: string): T {
  const read = readJson(answer.body, schema);
  if ("value" in read) return read.value;
  throw new ClavexMisrouted(
    read.problem === "not JSON" ? `${what} is not JSON` : `${what} lacks or misstates: ${read.where}`,
  );
}
