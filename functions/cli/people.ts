import type { AdminApi } from "../clavex/admin-api.ts";
import { type DirectoryUser, uuidSchema } from "../clavex/user.ts";
import { CommandError } from "./report.ts";

/**
 * Finds a person by subject or e-mail address. A subject is taken as it is, for it may be that of a person who is gone: then
 * there is no user. An e-mail address that nobody has finds nothing.
 *
 * @throws {CommandError} when the text is neither
 */
export async function findUser(
  api: Pick<AdminApi, "user" | "users">,
  text: string,
): Promise<{ subject: string; user: DirectoryUser | undefined } | undefined> {
  if (!text.includes("@")) {
    const subject = uuidSchema.safeParse(text);
    if (!subject.success) throw new CommandError(`--user: ${text} is neither a UUID nor an e-mail address`);
    return { subject: subject.data, user: await api.user(subject.data) };
  }
  for await (const page of api.users(text)) {
    const user = page.find(({ email }) => email.toLowerCase() === text.toLowerCase());
    if (user) return { subject: user.subject, user };
  }
  return undefined;
}
