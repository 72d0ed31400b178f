import { randomBytes } from "node:crypto";
import type { LoggedIn } from "./nextcloud-sessions.ts";
import type { Backend, NextcloudState } from "./nextcloud-state.ts";
import { TRAITS } from "./nextcloud-version.ts";
import { OcsError } from "./ocs-answer.ts";

/** Credentials with which requests may come: an app password of an account, which is made if it is not there. */
export interface Credentials {
  username: string;
  password: string;
  /** Default true: the account is put into the admin group. */
  admin?: boolean;
  /** The account's own password, which works too (and is slow on a real server). Default: none. */
  loginPassword?: string;
  /** Default: the username. */
  displayName?: string;
  /** Where the account belongs. Default: Database. One of user_oidc is never asked to confirm a password. */
  backend?: Backend;
}

/** Who sends a request. */
export interface Actor {
  id: string;
  isAdmin: boolean;
  kind: "app password" | "login password" | "bearer";
  /** Whether core takes a write from this request without asking for a password. */
  confirmed: boolean;
}

const RATE_LIMIT = { calls: 50, periodMs: 600_000 };
const BRUTE_FORCE = { failures: 10, periodMs: 30 * 60_000 };
const LONGEST_DELAY_MS = 25_000;
/** How long a session's login counts as a confirmed password: 30 minutes and 15 seconds. */
const CONFIRMED_MS = (30 * 60 + 15) * 1000;

/** Who may come in, and how often: credentials, brute-force protection and the rate limit. */
export class Access {
  readonly #state: NextcloudState;
  readonly #credentials: Credentials[];
  readonly #now: () => number;
  readonly #bruteForce: boolean;
  #failedLogins: { at: number; username: string }[] = [];
  readonly #limitedCalls = new Map<string, number[]>();

  /** @param bruteForce whether failed logins are counted */
  constructor(
    state: NextcloudState,
    credentials: Credentials[],
    { now, bruteForce }: { now: () => number; bruteForce: boolean },
  ) {
    this.#state = state;
    this.#credentials = [...credentials];
    this.#now = now;
    this.#bruteForce = bruteForce;
    for (const each of credentials) {
      const {
        username,
        admin = true,
        loginPassword: password = "",
        displayName = username,
        backend = "Database",
      } = each;
      state.copySkeleton(state.addRow(username, backend, { displayName, password }));
      if (admin) state.addMember(username, "admin");
    }
  }

  /**
   * Who sends a request with these credentials. A live session of the same user is taken as it is, even while brute-force
   * protection refuses everybody else from the address (docs/facts/nextcloud.md 4).
   */
  authenticate(header: string, session: LoggedIn | undefined): Actor | "wrong" | "blocked" {
    const username = usernameOf(header);
    const kept = session !== undefined && session.id.toLowerCase() === username?.toLowerCase() ? session : undefined;
    if (kept !== undefined) {
      const account = this.#state.account(kept.id);
      if (account?.enabled && this.#state.shown(account)) return this.#actor(kept);
    }
    if (this.#isBlocked()) return "blocked";
    const actor = this.#actorOf(header);
    if (actor === undefined) {
      this.#failedLogins.push({ at: this.#now(), username: username ?? "" });
      return "wrong";
    }
    if (this.#traits.bruteForce === "429") {
      this.#failedLogins = this.#failedLogins.filter((failure) => failure.username !== actor.id);
    }
    return actor;
  }

  get #traits() {
    return TRAITS[this.#state.version];
  }

  #actorOf(header: string): Actor | undefined {
    const [scheme = "", value = ""] = header.split(" ");
    const bearer = scheme.toLowerCase() === "bearer";
    const [username = "", ...rest] = Buffer.from(value, "base64").toString("utf8").split(":");
    const password = rest.join(":");
    const known = bearer
      ? this.#credentials.find((candidate) => candidate.password === value)
      : this.#credentials.find((candidate) => candidate.username === username && candidate.password === password);
    const account = this.#state.account(known?.username ?? username);
    const shown = account && this.#state.shown(account);
    const login = account?.rows.get("Database")?.password ?? "";
    if (account === undefined || shown === undefined || !account.enabled) return undefined;
    if (known === undefined && (bearer || login === "" || login !== password)) return undefined;
    const kind = bearer ? "bearer" : known === undefined ? "login password" : "app password";
    if (kind === "login password") {
      if (!account.homeExists) this.#state.copySkeleton(account);
      account.lastLogin = Math.floor(this.#now() / 1000) * 1000;
    }
    return this.#actor({ id: shown.row.id, kind, at: this.#now() });
  }

  #actor({ id, kind, at }: LoggedIn): Actor {
    const account = this.#state.account(id);
    const { basic, bearer } = this.#traits.appPasswordConfirms;
    const confirmed =
      (account && this.#state.shown(account)?.backend === "user_oidc") ||
      (kind === "login password" ? this.#now() - at <= CONFIRMED_MS : kind === "bearer" ? bearer : basic);
    return { id, isAdmin: account?.groups.has("admin") ?? false, kind, confirmed };
  }

  /** 27: 100 ms, doubled with each failure, up to 25 s. Later: none, then 25 s (docs/facts/nextcloud.md 4). */
  bruteForceDelay(): number {
    const failures = this.#bruteForce ? this.#recentFailures() : 0;
    if (this.#traits.bruteForce === "429") return this.#isBlocked() ? LONGEST_DELAY_MS : 0;
    return failures === 0 ? 0 : Math.min(LONGEST_DELAY_MS, 100 * 2 ** failures);
  }

  #isBlocked(): boolean {
    return this.#bruteForce && this.#recentFailures() > BRUTE_FORCE.failures;
  }

  #recentFailures(): number {
    return this.#failedLogins.filter(({ at }) => at > this.#now() - BRUTE_FORCE.periodMs).length;
  }

  /** Counts a call of this account, unless it has used up its calls of the method. */
  withinRateLimit(userId: string, method: string): boolean {
    const key = `${method} ${userId}`;
    const recent = (this.#limitedCalls.get(key) ?? []).filter((at) => at > this.#now() - RATE_LIMIT.periodMs);
    this.#limitedCalls.set(key, recent);
    if (recent.length >= RATE_LIMIT.calls) return false;
    recent.push(this.#now());
    return true;
  }

  /** Creates an app password as `occ user:add-app-password` does: 72 characters. */
  addAppPassword(username: string): string {
    const password = randomBytes(36).toString("hex");
    this.#credentials.push({ username, password });
    return password;
  }

  createAppPassword(actor: Actor | undefined): { apppassword: string } {
    if (actor === undefined) throw new OcsError(997, "Current user is not logged in");
    if (actor.kind !== "login password") {
      throw new OcsError(403, "You cannot request an new apppassword with an apppassword");
    }
    return { apppassword: this.addAppPassword(actor.id) };
  }
}

/** The name in Basic credentials; undefined for another scheme. */
function usernameOf(header: string): string | undefined {
  const [scheme = "", value = ""] = header.split(" ");
  if (scheme.toLowerCase() !== "basic") return undefined;
  return Buffer.from(value, "base64").toString("utf8").split(":")[0];
}
