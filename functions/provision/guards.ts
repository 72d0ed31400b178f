import type { Clients, OrganizationClients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { asGroups, Failure, type Guarded, isHarmful, isServers, OrganizationUnknown } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import type { Directory } from "../core/person.ts";
import type { ProbeDelay } from "../core/retry.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { createBlame } from "./blame.ts";
import { type CircuitBreaker, CircuitOpen, createCircuitBreaker, type OnClose } from "./circuit-breaker.ts";
import { createIdentityGuard, type IdentityGuard } from "./identity-guard.ts";
import { SILENCE_LIMITS } from "./limits.ts";
import { createSilence, type SilenceLimits } from "./silence.ts";

/** An organization whose jobs may be worked on, with its clients. */
export interface Entered {
  organization: Organization;
  clients: OrganizationClients;
  /** Whether nothing may be done for it now: see `whilePaused`. */
  paused: boolean;
}

/** What every job of a container has to pass, of either kind. */
export interface Guards {
  /**
   * Finds the organization of a job, as it was when the job was planned or later.
   *
   * @param sentAt when the job was sent, in milliseconds since the epoch
   * @throws {ConfigurationError} when no organization has this slug
   * @throws {IdentityChanged} when its accounts were made with another identity
   */
  enter(job: Pick<Job, "organization" | "configuration">, sentAt: number): Promise<Entered>;
  /**
   * Does work that needs the organization's servers, unless the circuit of one of them is open. With the clients that it gets, a
   * failure that stays undecided is the fault of whom the call was about.
   *
   * @param mayBegin called before each request; what it throws ends the call
   * @throws {CircuitOpen}
   * @throws {IdentityMismatch} when Nextcloud was lately found to make accounts under other ids
   */
  run<T>(entered: Entered, work: (clients: OrganizationClients) => Promise<T>, mayBegin?: () => void): Promise<T>;
  identity: IdentityGuard;
  /**
   * The circuits of an organization as they are in this process; none when there is no such organization.
   *
   * @throws {SecretUnreadable} when it cannot be known which credentials are used
   */
  circuits(slug: string): Promise<Circuit[]>;
}

/** What a circuit breaker guards, and why its jobs are not tried; undefined while they are. */
export interface Circuit {
  kind: Guarded["kind"];
  failure: Failure | undefined;
}

export interface GuardsDependencies {
  organizations: Organizations;
  clients: Clients;
  ledger: Ledger;
  /** Whether organizations that the ledger does not know yet start paused. */
  startsPaused?: boolean;
  /** How long a circuit stays open after a failure that every job would meet. */
  breakerDelay: ProbeDelay;
  onCircuitClose?: OnClose;
  /** What a server may hold that takes requests and does not answer. */
  silence?: SilenceLimits;
  now?: () => number;
}

export function createGuards({
  organizations,
  clients,
  ledger,
  startsPaused = false,
  breakerDelay,
  onCircuitClose,
  silence = SILENCE_LIMITS,
  now = Date.now,
}: GuardsDependencies): Guards {
  const breaker = createCircuitBreaker(breakerDelay, now, onCircuitClose);
  const identity = createIdentityGuard(ledger, now);
  const isPaused = createAskPaused(ledger, startsPaused);
  const blame = createBlame(now, createSilence(silence));
  return {
    async enter({ organization: slug, configuration }, sentAt) {
      const planned = configuration === undefined ? undefined : { configuration, at: sentAt };
      const organization = await organizations.get(slug, planned);
      if (!organization) throw new OrganizationUnknown(slug);
      const paused = await isPaused(organization);
      // A paused organization creates no accounts, so its identity is not recorded yet.
      if (!paused) await identity.require(organization);
      return { organization, clients: clients.of(organization), paused };
    },
    async run({ organization, clients: unwatched }, work, mayBegin = () => undefined) {
      const guarded = await unwatched.guarded();
      return breaker.run(guarded, async () => {
        identity.requireMatch(organization);
        const mayAsk = (): void => {
          mayBegin();
          breaker.check(guarded);
        };
        const watched = blame.watch(organization, unwatched, guarded, mayAsk);
        return work(withGroupsCircuit(watched, groupsOf(guarded), breaker));
      });
    },
    identity,
    async circuits(slug) {
      const organization = await organizations.get(slug);
      const guarded = organization ? await clients.of(organization).guarded() : [];
      const all = [...guarded, ...groupsOf(guarded)];
      return all.map((each) => ({ kind: each.kind, failure: breaker.failureOf(each) }));
    },
  };
}

/** The reading of all groups as a circuit of its own; none without an API key. */
function groupsOf(guarded: readonly Guarded[]): Guarded[] {
  return guarded
    .filter(({ kind }) => kind === "clavex")
    .map(({ name, credentials }) => ({ kind: "groups", name: `groups of ${name}`, credentials }));
}

/**
 * The same clients, but unreadable groups stop only the people who need them: those who are to lose access go on.
 */
function withGroupsCircuit(
  clients: OrganizationClients,
  guarded: Guarded[],
  breaker: CircuitBreaker,
): OrganizationClients {
  const { directory: access } = clients;
  if (access.mode === "snapshots") return clients;
  const { directory } = access;
  const groups: Directory["groups"] = (notBefore) =>
    breaker.run(guarded, () =>
      directory.groups(notBefore).catch((error) => {
        const isTheirs = error instanceof Failure && isServers(error) && !isHarmful(error);
        throw isTheirs && !(error instanceof CircuitOpen) ? asGroups(error) : error;
      }),
    );
  return { ...clients, directory: { ...access, directory: { ...directory, groups } } };
}
