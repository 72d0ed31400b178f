import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { request } from "undici";
import { SIGNATURE_HEADER, sign } from "../clavex/signature.ts";
import { printable } from "../core/text.ts";
import { networkErrorName } from "../http.ts";
import { findPipeline } from "../local/running.ts";
import { DEMO_PEOPLE } from "../simulated/demo.ts";
import { type ConnectOptions, openSources, stackOutputs, withConnection } from "./pipeline.ts";
import { CommandError } from "./report.ts";
import { print } from "./terminal.ts";

interface SendOptions extends ConnectOptions {
  organization: string;
  user?: string;
  file?: string;
  url?: string;
}

/** `send`: signs a delivery as Clavex would and posts it; for trying a pipeline out. */
export function sendCommand(): Command {
  return withConnection(new Command("send"))
    .description("Signs a webhook delivery as Clavex does and posts it, to try the pipeline out.")
    .argument("<event>", "the event's name, such as user.created, user.updated or user.deleted")
    .requiredOption("--organization <slug>", "the organization it is for")
    .option("--user <id>", "the subject (UUID) of a user; default: a sample")
    .option("--file <delivery.json>", "send this file's bytes as they are, instead of a sample")
    .option("--url <url>", "the webhook's URL; default: that of the running local pipeline, or of the stage")
    .action(send);
}

async function send(event: string, options: SendOptions): Promise<void> {
  const { organizations, secrets } = await openSources(options);
  const organization = await organizations.get(options.organization);
  if (!organization) throw new CommandError(`there is no organization ${options.organization}`);
  const [secret = ""] = await secrets.webhook(organization);
  const body =
    options.file === undefined ? sample(event, organization.organizationId, options.user) : await read(options.file);
  const url = options.url ?? `${await webhookBaseUrl(options)}/${organization.slug}`;
  const headers = { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, secret) };
  const answer = await request(url, { method: "POST", headers, body }).catch((error) => {
    throw new CommandError(`${url} cannot be reached (${networkErrorName(error)})`);
  });
  print(`${answer.statusCode} ${printable(await answer.body.text())}`);
  if (answer.statusCode < 200 || answer.statusCode > 299) process.exitCode = 1;
}

async function read(path: string): Promise<Buffer> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`${path} cannot be read (${error.code})`);
  });
}

async function webhookBaseUrl({ stage, state }: SendOptions): Promise<string> {
  if (stage !== undefined) {
    const { WebhookBaseUrl } = await stackOutputs(stage);
    if (WebhookBaseUrl === undefined) throw new CommandError(`the stage ${stage} has no webhook URL: deploy it again`);
    return WebhookBaseUrl;
  }
  const running = await findPipeline(state);
  if (!running) {
    throw new CommandError(
      `no pipeline runs on the state folder ${state}: start it with "npm start", or give --url or --stage`,
    );
  }
  return `${running.url}/webhooks/clavex`;
}

function sample(event: string, organizationId: string, subject: string = DEMO_PEOPLE.ada.id): Buffer {
  const now = new Date().toISOString();
  const ids = { id: subject, org_id: organizationId };
  const person = Object.values(DEMO_PEOPLE).find((each) => each.id === subject) ?? {
    email: "sample.person@example.org",
    first_name: "Sample",
    last_name: "Person",
  };
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
