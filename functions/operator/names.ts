import { uuidSchema } from "../clavex/user.ts";
import type { Clients } from "../clients.ts";
import type { Organizations } from "../config/organizations.ts";
import { displayName } from "../core/desired.ts";
import { Failure } from "../core/failure.ts";
import { sideBySide } from "../side-by-side.ts";

/** Somebody of an organization. */
export interface Somebody {
  organization: string;
  subject: string;
}

/** What the directory calls somebody; without a name of their own, the name is the e-mail address. */
export interface Name {
  name: string;
  email: string;
}

/** Looks names up; each person is asked for once, even if that fails. */
export interface Names {
  /** Asks for those that were not asked for yet. It never fails: without an answer there is no name. */
  learn(people: Iterable<Somebody>): Promise<void>;
  /** The name, as far as it was learnt. */
  of(somebody: Somebody): Name | undefined;
}

const AT_ONCE = 4;

/** The current names of people in their directory, to show beside ids. */
export function createNames({ organizations, clients }: { organizations: Organizations; clients: Clients }): Names {
  const known = new Map<string, Name | undefined>();
  /** Organizations whose directory could not be read: asking for each person would take long. */
  const silent = new Set<string>();
  const key = ({ organization, subject }: Somebody) => `${organization}#${subject}`;

  async function look({ organization: slug, subject }: Somebody): Promise<Name | undefined> {
    // A message that nobody could read has no subject.
    if (!uuidSchema.safeParse(subject).success) return undefined;
    if (silent.has(slug)) return undefined;
    try {
      const organization = await organizations.get(slug);
      const access = organization && clients.of(organization).directory;
      if (access?.mode !== "api") return undefined;
      const person = await access.directory.person(subject);
      return person && { name: displayName(person), email: person.email };
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      silent.add(slug);
      return undefined;
    }
  }

  return {
    async learn(people) {
      const unknown = new Map<string, Somebody>();
      for (const each of people) if (!known.has(key(each))) unknown.set(key(each), each);
      await sideBySide(unknown, AT_ONCE, async ([name, each]) => void known.set(name, await look(each)));
    },
    of: (somebody) => known.get(key(somebody)),
  };
}
