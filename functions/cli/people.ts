import { uuidSchema } from "../clavex/user.ts";
import type { OrganizationClients } from "../clients.ts";
import type { Directory, Person } from "../core/person.ts";
import { printable } from "../core/text.ts";
import { CommandError } from "./report.ts";

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
  const found = await directory.findByEmail(text.trim());
  const [person, ...others] = found;
  if (person === undefined) {
    throw new CommandError(
      `--user: Clavex has nobody with the e-mail address ${text}; of somebody who is gone, give the subject (UUID)`,
    );
  }
  if (others.length > 0) {
    const subjects = found.map(({ subject }) => subject).join(", ");
    throw new CommandError(
      `--user: several people have the e-mail address ${text}: give the subject (UUID) of one: ${subjects}`,
    );
  }
  return { subject: person.subject, person };
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
