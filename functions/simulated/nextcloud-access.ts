import { randomBytes } from "node:crypto";
import type { NextcloudState } from "./nextcloud-state.ts";
import { OcsError } from "./ocs-answer.ts";

/** Credentials with which requests may come: an app password of an account, which is made if it is not there. */
export interface Credentials {
  username: string;
  password: string;
  /** Default true: the account is put into the admin group. */
  admin?: boolean;
  /** The account's own password, which works too (and is slow on a real server). Default: none. */
  loginPassword?: string;
}

/** Who sends a request. */
export interface Actor {
  id: string;
  isAdmin: boolean;
  kind: "app password" | "login password" | "bearer";
}

const RATE_LIMIT = { calls: 50, periodMs: 600_000 };
const BRUTE_FORCE = { failures: 10, periodMs: 30 * 60_000 };

/** Who may come in, and how often: credentials, brute-force protection and the rate limit. */
export class Access {
  readonly #state: NextcloudState;
  readonly #credentials: Credentials[];
  readonly #now: () => number;
  readonly #bruteForce: boolean;
  readonly #failedLogins: number[] = [];
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
    for (const { username, admin = true, loginPassword = "" } of credentials) {
      state.copySkeleton(state.addRow(username, "Database", { displayName: username, password: loginPassword }));
      if (admin) state.addMember(username, "admin");
    }
  }

  authenticate(header: string): Actor | "wrong" | "blocked" {
    if (this.#bruteForce && this.#recentFailures() > BRUTE_FORCE.failures) return "blocked";
    const actor = this.#actorOf(header);
    if (actor !== undefined) return actor;
    this.#failedLogins.push(this.#now());
    return "wrong";
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
    const row = account?.rows.get("Database");
    if (account === undefined || row === undefined || !account.enabled) return undefined;
    if (known === undefined && (bearer || row.password === "" || row.password !== password)) return undefined;
    const kind = bearer ? "bearer" : known === undefined ? "login password" : "app password";
    if (kind === "login password") {
      if (!account.homeExists) this.#state.copySkeleton(account);
      account.lastLogin = Math.floor(this.#now() / 1000) * 1000;
    }
    return { id: row.id, isAdmin: account.groups.has("admin"), kind };
  }

  /** 100 ms, doubled with each failure, up to 25 s (docs/facts/nextcloud.md 4). */
  bruteForceDelay(): number {
    const failures = this.#bruteForce ? this.#recentFailures() : 0;
    return failures === 0 ? 0 : Math.min(25_000, 100 * 2 ** failures);
  }

  #recentFailures(): number {
    return this.#failedLogins.filter((at) => at > this.#now() - BRUTE_FORCE.periodMs).length;
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

  createAppPassword(actor: Actor | undefined): { apppassword: string } {
    if (actor === undefined) throw new OcsError(997, "Current user is not logged in");
    if (actor.kind !== "login password") {
      throw new OcsError(403, "You cannot request an new apppassword with an apppassword");
    }
    const password = randomBytes(36).toString("hex");
    this.#credentials.push({ username: actor.id, password });
    return { apppassword: password };
  }
}
