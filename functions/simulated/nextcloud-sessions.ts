import { randomBytes } from "node:crypto";
import type { Actor } from "./nextcloud-access.ts";
import type { Answer, RecordedRequest } from "./server.ts";

const SESSION_COOKIE = "oc9abrdbgcks";

/** Somebody who has logged in: what a session knows of them. */
export interface LoggedIn extends Pick<Actor, "id" | "kind"> {
  /** Milliseconds since 1970. */
  at: number;
}

/** The sessions of the server: each request that brings none opens one. */
export class Sessions {
  readonly #live = new Map<string, LoggedIn | undefined>();
  #opened = 0;

  /** How many were opened so far. */
  get opened(): number {
    return this.#opened;
  }

  /** Forgets all of them. */
  expire(): void {
    this.#live.clear();
  }

  /** Who logged in to the session that the request brings, if it brings one that lives. */
  of(request: RecordedRequest): LoggedIn | undefined {
    return this.#live.get(cookieOf(request) ?? "");
  }

  /** Opens a session unless the request brings a live one; the cookies are those of the recordings, deleting ones too. */
  answer(request: RecordedRequest, found: Answer, { sent, loggedIn }: { sent: boolean; loggedIn?: LoggedIn }): Answer {
    const cookie = cookieOf(request);
    const headers = { "cache-control": "no-cache, no-store, must-revalidate", ...found.headers };
    if (cookie !== undefined && this.#live.has(cookie)) return { ...found, headers };
    const id = randomBytes(13).toString("hex");
    this.#live.set(id, loggedIn);
    this.#opened += 1;
    return { ...found, headers: { ...headers, "set-cookie": cookies(id, sent) } };
  }
}

function cookieOf(request: RecordedRequest): string | undefined {
  return new RegExp(`(?:^|;\\s*)${SESSION_COOKIE}=([^;]+)`).exec(request.headers.cookie ?? "")?.[1];
}

function cookies(sessionId: string, credentialsSent: boolean): string[] {
  const never = "expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";
  const deleting = ["", " path=/;"].flatMap((path) =>
    ["nc_username", "nc_token", "nc_session_id"].map((name) => `${name}=deleted; ${never};${path} HttpOnly`),
  );
  return [
    `oc_sessionPassphrase=${randomBytes(24).toString("hex")}; path=/; HttpOnly; SameSite=Lax`,
    "nc_sameSiteCookielax=true; path=/; httponly;expires=Fri, 31-Dec-2100 23:59:59 GMT; SameSite=lax",
    "nc_sameSiteCookiestrict=true; path=/; httponly;expires=Fri, 31-Dec-2100 23:59:59 GMT; SameSite=strict",
    ...(credentialsSent ? deleting : []),
    `${SESSION_COOKIE}=${sessionId}; path=/; HttpOnly; SameSite=Lax`,
  ];
}
