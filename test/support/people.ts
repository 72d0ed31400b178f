import { randomUUID } from "node:crypto";
import { accountId, groupId, type Identity } from "../../functions/core/identity.ts";
import type { ClavexUser, NewUser, SimulatedClavex } from "../../functions/simulated/clavex.ts";
import type { AccountView, SimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

type Claims = Parameters<SimulatedNextcloud["simulateLogin"]>[0]["claims"];

/** The people of one organization, in both simulated servers. */
export interface People {
  /** Adds a person to Clavex, with their groups. */
  person(fields?: Partial<NewUser>, groups?: string[]): ClavexUser;
  people(number: number, groups?: string[]): ClavexUser[];
  assign(person: { id: string }, ...groups: string[]): void;
  unassign(person: { id: string }, ...groups: string[]): void;
  accountId(person: { id: string }): string;
  groupId(name: string): string;
  account(person: { id: string }): AccountView | undefined;
  /** The display names of the groups that the person's account is in, sorted. */
  groupsOf(person: { id: string }): string[];
  /** Signs in to Nextcloud over OpenID Connect, as the person's first visit would. Returns the HTTP status. */
  logIn(person: { id: string }, claims?: Claims): number;
  /** Does something in Nextcloud as its administrator, behind our back: a call below `/ocs/v2.php/`. */
  administer(method: string, path: string, parameters?: Record<string, string>): Promise<void>;
}

interface Place {
  slug: string;
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  /** The organization's identity at this moment. */
  identity(): Identity;
}

export function createPeople({ slug, clavex, nextcloud, identity }: Place): People {
  const groupNamed = (name: string) => clavex.groupByName(slug, name) ?? clavex.addGroup(slug, name);
  const idOf = ({ id }: { id: string }): string => accountId(identity(), id);
  const people: People = {
    person(fields = {}, groups = []) {
      const id = randomUUID();
      const email = `ada.${id}@acme.example`;
      const person = clavex.addUser(slug, { id, email, first_name: "Ada", last_name: "Lovelace", ...fields });
      people.assign(person, ...groups);
      return person;
    },
    people: (number, groups) => Array.from({ length: number }, () => people.person({}, groups)),
    assign({ id }, ...groups) {
      for (const name of groups) clavex.addMember(slug, groupNamed(name).id, id);
    },
    unassign({ id }, ...groups) {
      for (const name of groups) clavex.removeMember(slug, groupNamed(name).id, id);
    },
    accountId: idOf,
    groupId: (name) => groupId(identity(), name),
    account: (person) => nextcloud.user(idOf(person)),
    groupsOf: (person) =>
      (nextcloud.user(idOf(person))?.groups ?? []).map((gid) => nextcloud.group(gid)?.displayName ?? gid).sort(),
    logIn({ id }, claims = {}) {
      const current = identity();
      const providerId = current.scheme === "user_oidc" ? current.providerId : 1;
      return nextcloud.simulateLogin({ providerId, sub: id, claims }).status;
    },
    async administer(method, path, parameters = {}) {
      const { url, username, password } = nextcloud;
      const answer = await fetch(`${url}/ocs/v2.php/${path}?format=json`, {
        method,
        headers: { authorization: `Basic ${btoa(`${username}:${password}`)}`, "ocs-apirequest": "true" },
        body: new URLSearchParams(parameters),
      });
      if (!answer.ok) throw new Error(`Nextcloud answers HTTP ${answer.status} to ${method} ${path}`);
      await answer.text();
    },
  };
  return people;
}
