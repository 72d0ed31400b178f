import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { request } from "undici";
import { SIGNATURE_HEADER, sign } from "../clavex/signature.ts";
import { printable } from "../core/text.ts";
import { networkErrorName } from "../http.ts";
import { systemWords } from "../system-errors.ts";
import { demo } from "./demo-organization.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, parseUrl, withConnection } from "./options.ts";
import { oneOrganization } from "./organizations.ts";
import { findSubject, requireSubject, USER_OPTION } from "./people.ts";
import { webhookBaseUrl } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { openSources, type Sources } from "./sources.ts";
import { print, printJson } from "./terminal.ts";

interface SendOptions extends ConnectOptions {
  organization?: string;
  user?: string;
  file?: string;
  url?: string;
  dryRun?: boolean;
  json?: boolean;
}

/** `send`: signs a delivery as Clavex would and posts it, to try a pipeline out. */
export function sendCommand(): Command {
  return withConnection(new Command("send"))
    .description("Signs a webhook delivery as Clavex does and posts it, to try the pipeline out.")
    .argument("<event>", "the event's name, such as user.created, user.updated or user.deleted")
    .option("--organization <slug>", "the organization it is for; needed where there are several")
    .option(USER_OPTION, "whom it is about: an e-mail address in Clavex, or a subject (UUID); default: a sample")
    .option("--file <delivery.json>", "send this file's bytes as they are, instead of a sample")
    .option("--url <url>", "the webhook's URL; default: that of the running local pipeline, or of the stage", parseUrl)
    .option("--dry-run", "only print what would be posted")
    .option("--json", "print JSON")
    .action(send);
}

async function send(event: string, options: SendOptions): Promise<void> {
  const sources = await openSources(options);
  try {
    const organization = await oneOrganization(sources.organizations, options.organization);
    const [secret = ""] = await sources.secrets.webhook(organization);
    const body =
      options.file === undefined
        ? sample(event, organization.organizationId, await personOf(sources, organization.slug, options.user))
        : await read(options.file);
    if (options.dryRun) return print(printable(body.toString()));
    const url = options.url ?? `${await webhookBaseUrl(options)}/${organization.slug}`;
    const answer = await post(url, body, secret);
    if (options.json) printJson(answer);
    else showAnswer(answer);
  } finally {
    await sources.close();
  }
}

/** How a delivery was answered. */
export interface Answer {
  url: string;
  statusCode: number;
  body: string;
}

export const showAnswer = ({ statusCode, body }: Answer): void => print(`${statusCode} ${printable(body)}`);

/**
 * Posts a signed delivery; any answer but 2xx makes the exit code 1.
 *
 * @throws {CommandError} when nobody answers at the address
 */
export async function post(url: string, body: Buffer, secret: string): Promise<Answer> {
  const headers = { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, secret) };
  const answer = await request(url, { method: "POST", headers, body }).catch((error) => {
    throw new CommandError(
      `${url} cannot be reached (${networkErrorName(error)})`,
      "See that the pipeline runs there and that this machine can reach it, and try again.",
    );
  });
  const { statusCode } = answer;
  if (statusCode < 200 || statusCode > 299) process.exitCode = EXIT.failed;
  return { url, statusCode, body: await answer.body.text() };
}

async function read(path: string): Promise<Buffer> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`${path} cannot be read (${systemWords(error)})`);
  });
}

/** Somebody who is in no directory. */
const SAMPLE = {
  id: "5a3b1c0d-2e4f-4a6b-8c7d-9e0f1a2b3c4d",
  email: "sample.person@example.org",
  first_name: "Sample",
  last_name: "Person",
};

/** Whom the delivery is about: by default the demo's first person, or for any other organization a sample. */
async function personOf(sources: Sources, slug: string, user: string | undefined): Promise<typeof SAMPLE> {
  const people: (typeof SAMPLE)[] = sources.isDemo ? Object.values((await demo()).DEMO_PEOPLE) : [];
  if (user === undefined) return people[0] ?? SAMPLE;
  const known = people.find(({ id, email }) => [id, email].includes(user.toLowerCase()));
  if (known) return known;
  return { ...SAMPLE, ...(user.includes("@") ? await sampleOf(sources, slug, user) : { id: requireSubject(user) }) };
}

/** @throws {CommandError} when nobody, or more than one, has this e-mail address */
async function sampleOf(sources: Sources, slug: string, email: string): Promise<Partial<typeof SAMPLE>> {
  const { user } = await findSubject(sources, [slug], email);
  return { id: user, email };
}

function sample(event: string, organizationId: string, person: typeof SAMPLE): Buffer {
  const now = new Date().toISOString();
  const ids = { id: person.id, org_id: organizationId };
  const user = {
    ...ids,
    email: person.email,
    first_name: person.first_name,
    last_name: person.last_name,
    is_active: event !== "user.suspended",
    is_email_verified: true,
    mfa_required: false,
    required_actions: null,
    metadata: {},
    created_at: now,
    updated_at: now,
  };
  const data = event === "user.deleted" ? ids : user;
  return Buffer.from(JSON.stringify({ id: randomUUID(), event, occurred_at: now, data }));
}
