import { getSetCookies, Headers } from "undici";

/**
 * The cookies of one Nextcloud session. Sent back beside Basic authentication they spare the server a new session and a
 * token check for every request; expired or broken ones do no harm. One session serves parallel requests.
 */
export class Session {
  readonly #cookies = new Map<string, string>();

  /** Takes over the cookies that an answer sets, and drops those it deletes. */
  update(setCookie: string | string[] | undefined): void {
    if (setCookie === undefined) return;
    const headers = new Headers();
    for (const value of [setCookie].flat()) headers.append("set-cookie", value);
    for (const cookie of getSetCookies(headers)) {
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
}
