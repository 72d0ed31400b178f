import type { Dispatcher } from "undici";
import * as z from "zod";
import { type Answer, pathPrefix, readJson, send } from "../http.ts";
import { ClavexFailure, ClavexMisrouted, ClavexUnavailable } from "./errors.ts";
import { reasonOf } from "./refusal.ts";
import { unreachable } from "./unreachable.ts";

/** An administrator's login as the console makes it. The slug is that of the administrator's own organization. */
export interface Credentials {
  slug: string;
  email: string;
  password: string;
}

/** What a login gives: a token of 8 hours, and the organization that it was for. */
export interface AdministratorLogin {
  token: string;
  organizationId: string;
}

/** Clavex refuses the login: wrong credentials, or no permission to set things up. */
export class AdministratorRefused extends ClavexFailure {
  constructor(status: number, reason: string) {
    super(
      "configuration",
      "clavex-login-refused",
      `Clavex refuses the login: ${reason} (HTTP ${status})`,
      "organization",
      {
        fix: "Log in as a user of this organization with the role admin (or super_admin): slug, e-mail address and password are those of Clavex's console.",
      },
    );
  }
}

/** Clavex wants more than a password. Only a browser can give that. */
export class SecondFactorNeeded extends ClavexFailure {
  constructor() {
    super(
      "configuration",
      "clavex-second-factor",
      "Clavex asks for a second factor, which cannot be given here",
      "organization",
      {
        fix: "Log in to Clavex's console in a browser, copy the value of its cookie clavex_admin, put it into the environment variable CLAVEX_ADMIN_TOKEN, and run setup again (docs/connect.md#token).",
      },
    );
  }
}

const COOKIE = /^clavex_admin=([^;]+)/;
const SECOND_FACTOR = /second.?factor|two.?factor|\b(?:mfa|2fa|totp|otp|webauthn|passkey)/i;
const loginSchema = z.object({ org_id: z.string() });

/**
 * Logs an administrator in. The token is in the cookie `clavex_admin` only, and works as a bearer token
 * (docs/facts/clavex.md 5).
 *
 * @throws {AdministratorRefused} with Clavex's reason
 * @throws {SecondFactorNeeded} when the password is not enough
 */
export async function logIn(
  { pool, baseUrl }: { pool: Dispatcher; baseUrl: string },
  { slug, email, password }: Credentials,
): Promise<AdministratorLogin> {
  const answer = await send(pool, {
    method: "POST",
    path: `${pathPrefix(baseUrl)}/api/v1/auth/login`,
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify({ org_slug: slug, email, password }),
  }).catch((error) => {
    throw unreachable(error);
  });
  const { status } = answer;
  if (status === 429 || status >= 500)
    throw new ClavexUnavailable(`Clavex answers HTTP ${status} to a login`, "subject");
  const token = tokenOf(answer);
  const read = readJson(answer.body, loginSchema);
  if (status === 200 && token !== undefined && "value" in read) return { token, organizationId: read.value.org_id };
  if (asksForMore(answer)) throw new SecondFactorNeeded();
  if (status >= 400) throw new AdministratorRefused(status, reasonOf(answer) || "no reason given");
  throw new ClavexMisrouted(`Clavex's answer to a login holds no token (HTTP ${status})`);
}

/**
 * The UUID of an administrator's own organization, as their token has it; undefined where it is no such token. Nothing is
 * verified: it only serves as a suggestion (docs/facts/clavex.md 5).
 */
export function organizationInToken(token: string): string | undefined {
  const payload = Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8");
  const read = readJson(payload, loginSchema);
  return "value" in read ? read.value.org_id : undefined;
}

function tokenOf({ headers }: Answer): string | undefined {
  const cookies = headers["set-cookie"] ?? [];
  for (const cookie of Array.isArray(cookies) ? cookies : [cookies]) {
    const value = COOKIE.exec(cookie)?.[1];
    if (value !== undefined) return value;
  }
  return undefined;
}

/** Today's Clavex asks for none here; one that does says so in a field's name or in its reason. */
function asksForMore({ status, body }: Answer): boolean {
  return (status < 300 || status === 401 || status === 403) && SECOND_FACTOR.test(body);
}
