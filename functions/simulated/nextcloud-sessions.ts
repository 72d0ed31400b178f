import { randomBytes } from "node:crypto";
import type { Answer, RecordedRequest } from "./server.ts";

const SESSION_COOKIE = "oc9abrdbgcks";

/** The sessions of the server: each request that brings none opens one. */
export class Sessions {
  readonly #live = new Set<string>();
  #opened = 0;

  /** How many were opened so far. */
  get opened(): number {
    return this.#opened;
  }

  /** Forgets all of them. */
  expire(): void {
    this.#live.clear();
  }

  /** Opens a session unless the request brings a live one; the cookies are those of the recordings, deleting ones too. */
  answer(request: RecordedRequest, found: Answer, loggedIn: boolean): Answer {
    const cookie = new RegExp(`(?:^|;\\s*)${SESSION_COOKIE}=([^;]+)`).exec(request.headers.cookie ?? "")?.[1];
    const headers = { "cache-control": "no-cache, no-store, must-revalidate", ...found.headers };
    if (cookie !== undefined && this.#live.has(cookie)) return { ...found, headers };
    const id = randomBytes(13).toString("hex");
    this.#live.add(id);
    this.#opened += 1;
    return { ...found, headers: { ...headers, "set-cookie": cookies(id, loggedIn) } };
  }
}

function cookies(sessionId: string, loggedIn: boolean): string[] {
  const never = "expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";
  const deleting = ["", " path=/;"].flatMap((path) =>
    ["nc_username", "nc_token", "nc_session_id"].map((name) => `${name}=deleted; ${never};${path} HttpOnly`),
  );
  return [
    `oc_sessionPassphrase=${randomBytes(24).toString("hex")}; path=/; HttpOnly; SameSite=Lax`,
    "nc_sameSiteCookielax=true; path=/; httponly;expires=Fri, 31-Dec-2100 23:59:59 GMT; SameSite=lax",
    "nc_sameSiteCookiestrict=true; path=/; httponly;expires=Fri, 31-Dec-2100 23:59:59 GMT; SameSite=strict",
    ...(loggedIn ? deleting : []),
    `${SESSION_COOKIE}=${sessionId}; path=/; HttpOnly; SameSite=Lax`,
  ];
}
