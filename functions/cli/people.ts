import { uuidSchema } from "../clavex/user.ts";
import type { OrganizationClients } from "../clients.ts";
import type { Directory, Person } from "../core/person.ts";
import { CommandError } from "./report.ts";

/**
 * Finds a person by subject or e-mail address. A subject is taken as it is, for it may be that of a person who is gone: then
 * there is no person. An e-mail address that nobody has finds nothing.
 *
 * @throws {CommandError} when the text is neither
 */
export async function findPerson(
  directory: Directory,
  text: string,
): Promise<{ subject: string; person: Person | undefined } | undefined> {
  if (text.includes("@")) {
    const person = await directory.findByEmail(text);
    return person && { subject: person.subject, person };
  }
  const subject = uuidSchema.safeParse(text);
  if (!subject.success) throw new CommandError(`--user: ${text} is neither a UUID nor an e-mail address`);
  return { subject: subject.data, person: await directory.person(subject.data) };
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
