import { SIGNATURE_HEADER, sign } from "../../functions/clavex/signature.ts";
import { type Fault, parametersOf, type RecordedRequest } from "../../functions/simulated/server.ts";
import { WEBHOOK_SECRET } from "../core/organization.ts";

/** A request to the simulated Nextcloud, in short. */
export interface NextcloudRequest {
  /** Such as `GET user`, `POST user_oidc`, `POST membership`, `POST group`, `PUT disable`. */
  name: string;
  /** The id in the path, as it was encoded there. */
  id: string | undefined;
  parameters: Record<string, unknown>;
}

const SHORT: [pattern: RegExp, name: string][] = [
  [/^cloud\/users\/([^/]+)\/enable$/, "enable"],
  [/^cloud\/users\/([^/]+)\/disable$/, "disable"],
  [/^cloud\/users\/([^/]+)\/groups$/, "membership"],
  [/^cloud\/users(?:\/([^/]+))?$/, "user"],
  [/^cloud\/groups(?:\/([^/]+))?$/, "group"],
  [/^apps\/user_oidc\/api\/v1\/user(?:\/([^/]+))?$/, "user_oidc"],
];

/** A recorded request in short. */
export function short(request: RecordedRequest): NextcloudRequest {
  const { pathname } = new URL(`http://127.0.0.1${request.path}`);
  const path = pathname.replace(/^.*\/ocs\/v2\.php\//, "");
  const { format: _, ...parameters } = Object.fromEntries(parametersOf(request));
  for (const [pattern, name] of SHORT) {
    const match = pattern.exec(path);
    if (match) return { name: `${request.method} ${name}`, id: match[1], parameters };
  }
  return { name: `${request.method} ${path}`, id: undefined, parameters };
}

/** Matches the requests of this short name. */
export const named =
  (name: string) =>
  (request: RecordedRequest): boolean =>
    short(request).name === name;

/** A fault: Nextcloud answers the next request of this short name, or the next few, with an HTTP status. */
export const answers = (
  status: number,
  name: string,
  more: { times?: number; after?: boolean; body?: string } = {},
): Fault => ({ kind: "status", status, match: named(name), times: 1, ...more });

/** The body of an OCS answer that says no. */
export const refusal = (statuscode: number, message: string): string =>
  JSON.stringify({ ocs: { meta: { status: "failure", statuscode, message }, data: [] } });

/** A body as Clavex posts it to the webhook endpoint: signed. */
export const signed = (body: string, secret: string = WEBHOOK_SECRET) => ({
  method: "POST",
  headers: { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, secret) },
  body,
});
