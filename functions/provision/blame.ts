import type { OrganizationClients } from "../clients.ts";
import { type About, type CallMemory, failed, NO_CALLS, succeeded } from "../core/blame.ts";
import { asServers, Failure, type Guarded, isServers, isSilent, isUndecided, type Server } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { Directory } from "../core/person.ts";
import { describe } from "../nextcloud/calls.ts";
import type { Ocs } from "../nextcloud/ocs.ts";
import { probe } from "../nextcloud/server.ts";
import type { Silence } from "./silence.ts";

/**
 * Decides whose fault it is when a call was answered with 5xx, not in the server's own form, or not at all: the server's, or that
 * of the one person or group it was about. It remembers what calls of the same kind came to, for the life of the container.
 */
export interface Blame {
  /**
   * The same clients, whose failures are decided: what stays undecided is the fault of whom the call was about.
   *
   * @param guarded the servers of the organization
   * @param mayBegin called when a request is about to be sent; what it throws ends the call
   */
  watch(
    organization: Organization,
    clients: OrganizationClients,
    guarded: readonly Guarded[],
    mayBegin: () => void,
  ): OrganizationClients;
}

/** Where calls are watched: one server with its credentials. */
interface Place {
  server: Server;
  name: string;
}

/** A call, and how to ask the same server something harmless. */
interface Call {
  kind: string;
  about: About;
  /** Whether the probe speaks for the call even when it has failed for others: it goes the same way, or it is about a group. */
  isDecisive: boolean;
  probe(not: About): Promise<void>;
}

/** Groups of odd names are often several, and a group that is skipped stops nobody. */
const DECISIVE = new Set(["GET cloud/users/*", "GET cloud/groups/*", "POST cloud/groups"]);

/** @param silence what keeps a silent server from holding all jobs */
export function createBlame(now: () => number, silence: Silence): Blame {
  const memories = new Map<string, CallMemory>();

  async function decided<T>(place: Place, call: Call, work: () => Promise<T>): Promise<T> {
    const key = `${place.name} ${call.kind}`;
    const memory = () => memories.get(key) ?? NO_CALLS;
    try {
      const result = await work();
      memories.set(key, succeeded(memory(), call.about, now()));
      return result;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (!isUndecided(error)) {
        // A refusal is an answer: the server does its work.
        if (error.failureClass === "permanent") memories.set(key, succeeded(memory(), call.about, now()));
        throw error;
      }
      const before = memory().failed.flat();
      const { memory: after, blame } = failed(memory(), call.about, now());
      memories.set(key, after);
      if (blame === "theirs") throw error;
      const unknowable = call.about.length === 0 || isSilent(error) || (blame === "everybodys" && !call.isDecisive);
      if (unknowable) throw asServers(error, place.server);
      await call.probe([...call.about, ...before]).catch((ofProbe) => {
        throw ofProbe instanceof Failure && isServers(ofProbe) ? ofProbe : asServers(error, place.server);
      });
      throw error;
    }
  }

  const watchOcs = (place: Place, unlimited: Ocs, { nextcloud }: Organization, mayBegin: () => void): Ocs => {
    const ocs: Ocs = {
      ...unlimited,
      call: (method, path, parameters) => unlimited.call(method, path, parameters, mayBegin),
    };
    return { ...ocs, call: watchedCall(place, ocs, nextcloud) };
  };

  const watchedCall =
    (place: Place, ocs: Ocs, { baseUrl, username }: Organization["nextcloud"]): Ocs["call"] =>
    (method, path, parameters = {}) => {
      const reads = method === "GET";
      const described = describe(method, path, parameters);
      const call: Call = {
        ...described,
        isDecisive: DECISIVE.has(described.kind),
        probe: () => probe(ocs, reads ? "reads" : "writes", username),
      };
      const work = () => decided(place, call, () => ocs.call(method, path, parameters));
      // A write that is abandoned may still take effect.
      return reads ? silence.wait({ server: "nextcloud", baseUrl }, work) : work();
    };

  const watchDirectory = (
    place: Place,
    directory: Directory,
    { clavex: { baseUrl } }: Organization,
    mayBegin: () => void,
  ): Directory => ({
    ...directory,
    async person(subject) {
      mayBegin();
      const call: Call = { kind: "GET user", about: [subject], isDecisive: true, probe: directory.probe };
      return silence.wait({ server: "clavex", baseUrl }, () => decided(place, call, () => directory.person(subject)));
    },
    async groups(notBefore) {
      mayBegin();
      const call: Call = { kind: "GET groups", about: [], isDecisive: true, probe: directory.probe };
      return silence.wait({ server: "clavex", baseUrl }, () => decided(place, call, () => directory.groups(notBefore)));
    },
  });

  return {
    watch(organization, clients, guarded, mayBegin) {
      const place = (server: Server): Place => {
        const { name = "", credentials = "" } = guarded.find(({ kind }) => kind === server) ?? {};
        return { server, name: `${name} ${credentials}` };
      };
      const { directory: access } = clients;
      return {
        ...clients,
        ocs: watchOcs(place("nextcloud"), clients.ocs, organization, mayBegin),
        directory:
          access.mode === "api"
            ? { ...access, directory: watchDirectory(place("clavex"), access.directory, organization, mayBegin) }
            : access,
      };
    },
  };
}
