import { uuidSchema } from "../clavex/user.ts";
import { createClients, type OrganizationClients } from "../clients.ts";
import type { Directory, Person } from "../core/person.ts";
import { printable } from "../core/text.ts";
import { createNames, type Somebody } from "../operator/names.ts";
import { atServers, requireOrganization } from "./organizations.ts";
import { CommandError } from "./report.ts";
import type { Sources } from "./sources.ts";

/** The option that names a person. */
export const USER_OPTION = "--user <id|email>";
export const USER_HELP = "the person's e-mail address in Clavex, or subject (UUID)";

/** Somebody as people know them; what is not known is empty or left out. */
export interface Named {
  subject: string;
  name?: string | undefined;
  email?: string | undefined;
}

/** A person for people: name and e-mail address where they are known, the whole id only where no address tells who it is. */
export function personLabel({ subject, name = "", email = "" }: Named): string {
  // Without a name, directories and Nextcloud show the address or the id in its place.
  const ownName = name === email || name === subject ? "" : name;
  const id = email === "" ? (ownName === "" ? subject : `(${subject})`) : ownName === "" ? email : `<${email}>`;
  return printable(ownName === "" ? id : `${ownName} ${id}`);
}

/** A person of the directory as `personLabel` takes them. */
export function namedPerson({ subject, firstName, lastName, email }: Person): Named {
  return { subject, name: `${firstName} ${lastName}`.trim(), email };
}

/**
 * Finds a person by e-mail address, in any letter case, or subject. A subject is taken as it is, for it may be that of a person
 * who is gone: then there is no person.
 *
 * @throws {CommandError} when the text is neither, or nobody or more than one has this e-mail address
 */
export async function findPerson(
  directory: Directory,
  text: string,
): Promise<{ subject: string; person: Person | undefined }> {
  if (!text.includes("@")) {
    const subject = requireSubject(text);
    return { subject, person: await directory.person(subject) };
  }
  const person = onlyOne(text, await directory.findByEmail(text.trim()));
  return { subject: person.subject, person };
}

/** @throws {CommandError} when nobody, or more than one, has this e-mail address */
function onlyOne<T extends { subject: string }>(email: string, found: readonly T[]): T {
  const [person, ...others] = found;
  if (person === undefined) {
    throw new CommandError(
      `--user: Clavex has nobody with the e-mail address ${email}; of somebody who is gone, give the subject (UUID)`,
    );
  }
  if (others.length === 0) return person;
  const subjects = found.map(({ subject }) => subject).join(", ");
  throw new CommandError(
    `--user: several people have the e-mail address ${email}: give the subject (UUID) of one: ${subjects}`,
  );
}

/**
 * The subject that a text is.
 *
 * @throws {CommandError} when it is none
 */
export function requireSubject(text: string): string {
  const subject = uuidSchema.safeParse(text.trim());
  if (subject.success) return subject.data;
  throw new CommandError(`--user: ${text} is neither a UUID nor an e-mail address`);
}

/**
 * The directory of an organization that can be asked.
 *
 * @throws {CommandError} when the organization has no API key
 */
export function requireDirectory({ directory }: OrganizationClients, slug: string) {
  if (directory.mode === "api") return directory;
  throw new CommandError(`organization ${slug} has no clavex.apiKey: nobody can be read from Clavex`);
}

type Readable = Pick<Sources, "organizations" | "secrets">;

/** Short, and few: names only make reading easier. */
const NAME_TIMEOUTS = { connect: 3_000, headers: 3_000, body: 3_000 };
const MOST_NAMES = 100;

/**
 * How some people are called, as their directories name them now. Whoever cannot be read is called by what is known already, and so is everybody
 * of a Clavex that does not answer soon.
 */
export async function labelsOf<Person extends Somebody & { name?: string | undefined }>(
  { organizations, secrets }: Readable,
  people: readonly Person[],
): Promise<(person: Person) => string> {
  const clients = createClients({ secrets, nextcloudConnections: 1, timeouts: { clavex: NAME_TIMEOUTS } });
  try {
    const names = createNames({ organizations, clients });
    await names.learn(people.slice(0, MOST_NAMES));
    return (person) => personLabel({ ...person, ...names.of(person) });
  } finally {
    await clients.close();
  }
}

/**
 * Finds out who has an e-mail address, in the directories of these organizations; those without an API key have none.
 *
 * @throws {CommandError} when nobody, or more than one, has it, or a directory cannot be read
 */
export async function findSubject(
  { organizations, secrets }: Readable,
  slugs: readonly string[],
  email: string,
): Promise<{ organization: string; user: string }> {
  const clients = createClients({ secrets, nextcloudConnections: 1 });
  const found: { organization: string; subject: string }[] = [];
  try {
    for (const slug of slugs) {
      const organization = await requireOrganization(organizations, slug);
      const access = clients.of(organization).directory;
      if (access.mode !== "api") continue;
      const people = await atServers(organization, () => access.directory.findByEmail(email.trim()));
      found.push(...people.map(({ subject }) => ({ organization: slug, subject })));
    }
  } finally {
    await clients.close();
  }
  const { organization, subject } = onlyOne(email, found);
  return { organization, user: subject };
}
