import { parseCookie } from "undici";
import { isAhead } from "../core/clock.ts";

/** How long after brute-force protection refused a fresh login no further one is tried, if the kept session suffices. */
const BLOCKED_MS = 5 * 60_000;

/**
 * The cookies of one Nextcloud session. Sent back beside Basic authentication they spare the server a new session and a
 * token check for every request; expired or broken ones do no harm. One session serves parallel requests. It also passes while
 * brute-force protection refuses every fresh login from our address, so it is kept for as long as the process lives
 * (docs/facts/nextcloud.md 4).
 */
export class Session {
  #cookies = new Map<string, string>();
  #blockedUntil = 0;

  /** Takes over the cookies that an answer sets, and drops those it deletes. */
  update(setCookie: string | string[] | undefined): void {
    if (setCookie === undefined) return;
    for (const value of [setCookie].flat()) {
      const cookie = parseCookie(value);
      if (cookie === null) continue;
      const expired = cookie.maxAge === 0 || (cookie.expires !== undefined && Number(cookie.expires) <= Date.now());
      // One that cannot be sent back would make every request fail.
      if (expired || !/^[\x21-\x7e]*$/.test(cookie.value)) this.#cookies.delete(cookie.name);
      else this.#cookies.set(cookie.name, cookie.value);
    }
  }

  /** The `Cookie` header's value, or undefined while there are none. */
  header(): string | undefined {
    if (this.#cookies.size === 0) return undefined;
    return Array.from(this.#cookies, ([name, value]) => `${name}=${value}`).join("; ");
  }

  /** Notes that a fresh login was refused at this time, in milliseconds since 1970. */
  noteBlocked(now: number): void {
    this.#blockedUntil = now + BLOCKED_MS;
  }

  /** Whether a fresh login was refused so lately that the next one would be too. */
  isBlocked(now: number): boolean {
    return isAhead(this.#blockedUntil, BLOCKED_MS, now);
  }

  /**
   * Drops the cookies, so that the next request logs in again; unless another request has done so since these were sent.
   *
   * @param sent the header that was sent
   * @returns takes the dropped cookies back
   */
  drop(sent: string): () => void {
    if (this.header() !== sent) return () => undefined;
    const dropped = this.#cookies;
    this.#cookies = new Map();
    return () => {
      this.#cookies = dropped;
    };
  }
}
