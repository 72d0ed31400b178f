import { accountId, schemeOf } from "../core/identity.ts";
import { isActing, type Organization } from "../core/organization.ts";

/** An account that is not a person's by its id, but has their e-mail address: somebody has worked with it before. */
export interface SameAddress {
  accountId: string;
  backend: string;
  /** Whether it can still be logged in to. */
  enabled: boolean;
}

/** Somebody with the id of their own account, and the other account with their e-mail address. */
interface Doubled<Person> {
  person: Person;
  own: string;
  other: SameAddress;
}

interface Somebody {
  subject: string;
  email: string;
}

/**
 * People who are in Nextcloud already: accounts of another backend with the e-mail address of a person, as the pages of details
 * show them; of a scheme that makes core accounts, every account that is nobody's. Foreign accounts may have any form, and of
 * each address only one is kept: the first, or the first that is enabled. No e-mail address but the people's own is kept.
 */
export class SameAddresses<Person extends Somebody> {
  readonly #organization: Organization;
  readonly #backend: string | undefined;
  /** By e-mail address in lower case. */
  readonly #people = new Map<string, Person[]>();
  readonly #found = new Map<string, SameAddress>();
  readonly #ours = new Set<string>();

  constructor(organization: Organization, people: Iterable<Person>) {
    this.#organization = organization;
    this.#backend = schemeOf(organization.identity).backend;
    for (const person of people) {
      const key = person.email.toLowerCase();
      if (key !== "") this.#people.set(key, [...(this.#people.get(key) ?? []), person]);
      if (this.#backend === undefined) this.#ours.add(accountId(organization.identity, person.subject).toLowerCase());
    }
  }

  /** Takes note of an account, as a page of details shows it. */
  detailed(id: string, details: unknown): void {
    if (typeof details !== "object" || details === null) return;
    const { backend, email, enabled: shown } = details as Record<string, unknown>;
    if (typeof email !== "string" || typeof backend !== "string" || backend === this.#backend) return;
    const key = email.trim().toLowerCase();
    const enabled = shown !== false;
    const before = this.#found.get(key);
    if (!this.#people.has(key) || before?.enabled || (before && !enabled)) return;
    if (this.#ours.has(id.toLowerCase()) || isActing(this.#organization, id)) return;
    this.#found.set(key, { accountId: id, backend, enabled });
  }

  /** Everybody whose e-mail address such an account has. One that has the person's own id is no other account. */
  *all(): Generator<Doubled<Person>> {
    for (const [key, other] of this.#found) {
      for (const person of this.#people.get(key) ?? []) {
        const own = accountId(this.#organization.identity, person.subject);
        if (own.toLowerCase() !== other.accountId.toLowerCase()) yield { person, own, other };
      }
    }
  }

  /**
   * Those whom the other account concerns, when all accounts have been read: `existing` have none by the pipeline yet and get one;
   * `doubled` have one, and can still log in to the other.
   *
   * @param isMissing whether no account with this id was found
   * @param isDue whether somebody is to have an account
   */
  split(
    isMissing: (accountId: string) => boolean,
    isDue: (person: Person) => boolean,
  ): Record<"existing" | "doubled", Doubled<Person>[]> {
    const [existing, doubled]: [Doubled<Person>[], Doubled<Person>[]] = [[], []];
    for (const each of this.all()) {
      if (!isMissing(each.own)) {
        if (each.other.enabled) doubled.push(each);
      } else if (isDue(each.person)) existing.push(each);
    }
    return { existing, doubled };
  }
}
