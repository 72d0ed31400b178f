import { accountId, schemeOf } from "../core/identity.ts";
import { isActing, type Organization } from "../core/organization.ts";

/** An account that is not a person's by its id, but has their e-mail address: somebody has worked with it before. */
export interface SameAddress {
  accountId: string;
  backend: string;
}

interface Somebody {
  subject: string;
  email: string;
}

/**
 * People who are in Nextcloud already: accounts of another backend with the e-mail address of a person, as the pages of details
 * show them; of a scheme that makes core accounts, every account that is nobody's. Foreign accounts may have any form, and of
 * each address only the first one is kept.
 */
export class SameAddresses {
  readonly #organization: Organization;
  readonly #backend: string | undefined;
  /** By e-mail address in lower case; undefined as long as none was seen. */
  readonly #found = new Map<string, SameAddress | undefined>();
  readonly #ours = new Set<string>();

  constructor(organization: Organization, people: Iterable<Somebody>) {
    this.#organization = organization;
    this.#backend = schemeOf(organization.identity).backend;
    for (const { subject, email } of people) {
      if (email !== "") this.#found.set(email.toLowerCase(), undefined);
      if (this.#backend === undefined) this.#ours.add(accountId(organization.identity, subject).toLowerCase());
    }
  }

  /** Takes note of an account, as a page of details shows it. */
  detailed(id: string, details: unknown): void {
    if (typeof details !== "object" || details === null) return;
    const { backend, email } = details as Record<string, unknown>;
    if (typeof email !== "string" || typeof backend !== "string" || backend === this.#backend) return;
    const key = email.trim().toLowerCase();
    if (!this.#found.has(key) || this.#found.get(key) !== undefined) return;
    if (this.#ours.has(id.toLowerCase()) || isActing(this.#organization, id)) return;
    this.#found.set(key, { accountId: id, backend });
  }

  /** The account with this e-mail address, if there is one. */
  of(email: string): SameAddress | undefined {
    return this.#found.get(email.toLowerCase());
  }
}
