import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { isAhead } from "../core/clock.ts";

/** Something to say at the top of the next page. */
export interface Notice {
  kind: "good" | "bad";
  text: string;
}

/** A browser that was let in. */
export interface Session {
  /** What every form of this session carries: another site cannot know it. */
  form: string;
  notice?: Notice | undefined;
}

/** Who may use the console. Nothing is kept on disk: after a restart everybody asks for a new link. */
export interface Access {
  /** Creates the secret of a link: valid for one visit, within ten minutes. */
  invite(): string;
  /** Uses up an invitation. Returns the new session's id, or undefined for an unknown invitation. */
  enter(invitation: string): string | undefined;
  session(id: string | undefined): Session | undefined;
  /** Whether a text is the token that lets a program ask for links. */
  mayInvite(token: string): boolean;
  /** The cookie's name. Cookies do not tell ports apart: two consoles on one machine must not take each other's. */
  cookie: string;
}

const INVITATION_MS = 10 * 60_000;
const SESSION_MS = 12 * 60 * 60_000;
/** Each is a browser that somebody has opened a link in. */
const MOST_SESSIONS = 100;

/** A new secret that nobody can guess. */
export const newSecret = (): string => randomBytes(32).toString("base64url");

/** Compares two texts in constant time. */
export function equalSecrets(one: string, other: string): boolean {
  return timingSafeEqual(hash("sha256", one, "buffer"), hash("sha256", other, "buffer"));
}

/** @param token lets a program ask for links: what the 0600 file in the state folder holds */
export function createAccess(token: string, now: () => number = Date.now): Access {
  // By hash: the time of a look-up reveals nothing about the stored tokens.
  const invitations = new Map<string, number>();
  const sessions = new Map<string, Session & { until: number }>();
  const keyOf = (secret: string): string => hash("sha256", secret);
  function forgetOld(): void {
    for (const [key, until] of invitations) if (!isAhead(until, INVITATION_MS, now())) invitations.delete(key);
    for (const [key, { until }] of sessions) if (!isAhead(until, SESSION_MS, now())) sessions.delete(key);
    for (const key of [...sessions.keys()].slice(0, -MOST_SESSIONS)) sessions.delete(key);
  }
  return {
    cookie: `clavex_nextcloud_${keyOf(`cookie ${token}`).slice(0, 12)}`,
    invite() {
      forgetOld();
      const invitation = newSecret();
      invitations.set(keyOf(invitation), now() + INVITATION_MS);
      return invitation;
    },
    enter(invitation) {
      forgetOld();
      if (!invitations.delete(keyOf(invitation))) return undefined;
      const id = newSecret();
      sessions.set(keyOf(id), { form: newSecret(), until: now() + SESSION_MS });
      return id;
    },
    session(id) {
      forgetOld();
      return id === undefined ? undefined : sessions.get(keyOf(id));
    },
    mayInvite: (given) => equalSecrets(given, token),
  };
}
