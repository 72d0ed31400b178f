import { createHash } from "node:crypto";
import {
  API_KEY_PERMISSIONS,
  AUDIT_ACTIONS,
  MADE_BY_SETUP,
  SETUP_PERMISSIONS,
  WEBHOOK_EVENTS,
} from "../clavex/contract.ts";
import {
  type AuditSink,
  isPrefixOf,
  type ManagementApi,
  type NewMapper,
  type OidcClient,
  type Webhook,
} from "../clavex/management-api.ts";
import { PipelineFailure } from "../core/failure.ts";
import { isReadable, logoutUri, redirectUris, SCOPES } from "../nextcloud/user-oidc.ts";
import { forgetSecret, keepSecret, NO_WEBHOOK, type SetupContext } from "./context.ts";
import { byHand, done, type Inspection, type Step, toDo } from "./step.ts";

const CLIENT_NAME = "Nextcloud";
/** How the client's id tokens are to be signed. */
const ALGORITHM = "RS256";
const TOKEN =
  "Log in as an administrator of Clavex when setup asks, or give a token in CLAVEX_ADMIN_TOKEN, and run setup again; or do it as docs/connect.md says.";

/** Whether the token may do all of it: asked before anything is changed. */
export function permissionsStep({ management }: SetupContext): Step {
  return {
    title: "Clavex: permissions",
    async inspect() {
      if (!management) return byHand("There is no administrator's token.", TOKEN);
      const held = await management.permissions();
      const missing = held ? SETUP_PERMISSIONS.filter((each) => !covers(held, each)) : [];
      if (missing.length > 0) throw new PermissionsMissing(missing);
      return done();
    },
    apply: async () => [],
    undo: async () => undefined,
  };
}

/** Writing includes reading. */
function covers(held: readonly string[], needed: string): boolean {
  return held.includes(needed) || held.includes(needed.replace(/:read$/, ":write"));
}

/** The least-privilege API key: `users:read` and `groups:read`. One that was revoked is replaced. */
export function apiKeyStep(context: SetupContext): Step {
  const { management, store, record } = context;
  const create = `create one with ${API_KEY_PERMISSIONS.join(" and ")}, keep it in ${store.place("apiKey")}`;
  return {
    title: "Clavex: API key",
    async inspect() {
      const kept = await store.read("apiKey");
      if (!management) {
        return kept
          ? done(`kept in ${store.place("apiKey")}`)
          : byHand(`Create an API key with ${API_KEY_PERMISSIONS.join(" and ")}.`, TOKEN);
      }
      if (kept === undefined) return toDo(create);
      const known = (await management.apiKeys()).find((each) => isPrefixOf(each.key_prefix, kept));
      if (known?.is_active === false) return toDo(`the one in ${store.place("apiKey")} was revoked: ${create}`);
      return done(`kept in ${store.place("apiKey")}`);
    },
    async apply() {
      const { id, key } = await need(management).createApiKey(MADE_BY_SETUP, API_KEY_PERMISSIONS);
      await record.write({ apiKey: id });
      await keepSecret(context, "apiKey", key);
      return [];
    },
    async undo() {
      const { apiKey } = await record.read();
      if (apiKey === undefined) return undefined;
      for (const { id, name, is_active: active } of await need(management).apiKeys()) {
        // Setup 0.1 recorded that it made one, and not which.
        const isOurs = apiKey === true ? name === MADE_BY_SETUP : id === apiKey;
        if (isOurs && active) await need(management).deleteApiKey(id);
      }
      await forgetSecret(context, "apiKey");
      await record.write({ apiKey: undefined });
      return "revoked";
    },
  };
}

/**
 * The webhook subscription. Its secret is shown once: a subscription whose secret was not stored is replaced. One that
 * setup made for another address is moved, and keeps its secret.
 */
export function webhookStep(context: SetupContext): Step {
  const { management, store, record, answers } = context;
  const url = answers.webhookUrl;

  async function existing(): Promise<Webhook[]> {
    const all = await need(management).webhooks();
    const { webhook: made } = await record.read();
    const here = all.filter((each) => each.url === url);
    return here.length > 0 ? here : all.filter(({ id }) => id === made);
  }
  const missing = (events: string[]): string[] => WEBHOOK_EVENTS.filter((event) => !events.includes(event));

  return {
    title: "Clavex: webhook subscription",
    async inspect() {
      if (url === undefined) return byHand("Name the webhook's address with --webhook-url and run setup again.");
      if (url === NO_WEBHOOK) return done("none: changes arrive with the group watch and the reconciliations");
      if (!management) return byHand(`Subscribe ${url} to ${WEBHOOK_EVENTS.join(", ")}.`, TOKEN);
      const [found] = await existing();
      if (!(await store.read("webhook"))) {
        return toDo(
          found
            ? `replace the subscription of ${found.url}, whose secret is not known here, and keep the new one in ${store.place("webhook")}`
            : `subscribe ${url}, keep the secret in ${store.place("webhook")}`,
        );
      }
      if (!found) return toDo(`subscribe ${url}, keep its new secret in ${store.place("webhook")}`);
      if (found.url !== url) return toDo(`move the subscription of ${found.url} to ${url}`);
      if (!found.is_active) return toDo("switch the subscription on");
      const events = missing(found.events);
      return events.length === 0 ? done(url) : toDo(`add the events ${events.join(", ")}`);
    },
    async apply() {
      const old = await existing();
      const [found] = old;
      if (found && (await store.read("webhook"))) {
        const events = [...found.events, ...missing(found.events)];
        const moved = found.url === url || url === undefined ? {} : { url };
        await need(management).updateWebhook(found.id, { ...moved, events, is_active: true });
        return [];
      }
      const made = await need(management).createWebhook(url ?? "", WEBHOOK_EVENTS);
      await record.write({ webhook: made.id });
      await keepSecret(context, "webhook", made.secret);
      for (const { id } of old) await need(management).deleteWebhook(id);
      return [];
    },
    async undo() {
      const { webhook } = await record.read();
      if (webhook === undefined) return undefined;
      const present = (await need(management).webhooks()).some(({ id }) => id === webhook);
      if (present) await need(management).deleteWebhook(webhook);
      await forgetSecret(context, "webhook");
      await record.write({ webhook: undefined });
      return "deleted";
    },
  };
}

/**
 * The audit sink, for hints about SCIM and groups that no webhook sends. It signs with the webhook's secret, which Clavex
 * does not show: the record says by its fingerprint whether it is the one that is known here.
 */
export function auditSinkStep(context: SetupContext): Step {
  const { management, store, record, answers } = context;
  const url = answers.webhookUrl;

  async function existing(): Promise<AuditSink[]> {
    const { sink: made } = await record.read();
    const all = await need(management).sinks();
    return all.filter((each) => each.sink_type === "webhook" && (each.config?.url === url || each.id === idOf(made)));
  }

  async function wrong(found: AuditSink): Promise<string | undefined> {
    const { sink: made } = await record.read();
    const secret = await store.read("webhook");
    if (found.config?.url !== url) return `it posts to ${String(found.config?.url)}`;
    if (!found.is_active) return "it is switched off";
    if (AUDIT_ACTIONS.some((action) => !found.filter_actions.includes(action))) return "it lacks actions";
    if (found.id !== idOf(made)) return "whether its secret is the webhook's is not known here";
    return secret === undefined || fingerprint(secret) !== secretOf(made) ? "its secret is an old one" : undefined;
  }

  return {
    title: "Clavex: audit sink",
    async inspect() {
      const isThere = (await record.read()).sink !== undefined;
      if (!answers.auditSink && !isThere) return done("not wanted (--audit-sink)");
      if (url === undefined || url === NO_WEBHOOK) return byHand("Name the webhook's address with --webhook-url.");
      if (!management) return byHand(`Make an audit sink of type webhook for ${url}.`, TOKEN);
      const [found, ...more] = await existing();
      if (!found) return toDo(`create one of type webhook for ${url}`);
      const reason = more.length > 0 ? "there are several" : await wrong(found);
      return reason === undefined ? done() : toDo(`replace the one that is there: ${reason}`);
    },
    async apply() {
      const secret = await store.read("webhook");
      if (secret === undefined) return ["The webhook's secret is not known yet: run setup again."];
      const old = await existing();
      const id = await need(management).createSink({
        name: MADE_BY_SETUP,
        url: url ?? "",
        secret,
        actions: AUDIT_ACTIONS,
      });
      await record.write({ sink: { id, secret: fingerprint(secret) } });
      for (const each of old) await need(management).deleteSink(each.id);
      return [];
    },
    async undo() {
      const { sink: made } = await record.read();
      if (made === undefined) return undefined;
      for (const { id, name, config } of await need(management).sinks()) {
        // Setup 0.1 recorded the name only.
        const isOurs = typeof made === "string" ? name === made && config?.url === url : id === made.id;
        if (isOurs) await need(management).deleteSink(id);
      }
      await record.write({ sink: undefined });
      return "deleted";
    },
  };
}

type RecordedSink = string | { id: string; secret: string } | undefined;
const idOf = (made: RecordedSink): string | undefined => (typeof made === "object" ? made.id : undefined);
const secretOf = (made: RecordedSink): string | undefined => (typeof made === "object" ? made.secret : undefined);

/** Tells one random secret from another, and nothing else of it. */
function fingerprint(secret: string): string {
  return createHash("sha256").update(secret).digest("hex").slice(0, 8);
}

/** The OIDC client, registered dynamically: that is the only way to get id tokens signed with RS256 (docs/facts/clavex.md 8). */
export function clientStep(context: SetupContext, find: () => Promise<OidcClient | undefined>): Step {
  const { management, record, answers, signingAlgorithms } = context;
  const callbacks = redirectUris(answers.nextcloudUrl);
  const wanted = [...callbacks, logoutUri(answers.nextcloudUrl)];
  const readable = async (client: OidcClient): Promise<boolean> =>
    isReadable(client.id_token_signed_response_alg, await signingAlgorithms());
  /** Either of the callbacks will do for an existing client; without the last address people cannot log out. */
  function missing(uris: readonly string[]): string[] {
    const isCalledBack = callbacks.some((uri) => uris.includes(uri));
    return wanted.filter((uri) => !uris.includes(uri) && !(isCalledBack && callbacks.includes(uri)));
  }

  return {
    title: "Clavex: OIDC client",
    async inspect() {
      if (!management) return byHand(`Register a client for ${wanted.join(", ")} with ${ALGORITHM} id tokens.`, TOKEN);
      const client = await find();
      if (!client || !(await readable(client))) {
        const algorithms = await signingAlgorithms();
        if (!algorithms.includes(ALGORITHM)) {
          return byHand(`Clavex signs with ${algorithms.join(", ")} only: give it an RSA key, then run setup again.`);
        }
      }
      if (!client) return toDo(`register ${CLIENT_NAME} for ${wanted[0]}, its id tokens signed ${ALGORITHM}`);
      if (!(await readable(client))) {
        const algorithm = client.id_token_signed_response_alg || "PS256";
        return toDo(
          `register a new one: id tokens signed ${algorithm}, as ${client.client_id} asks for, are of no use to user_oidc`,
        );
      }
      const uris = missing(client.redirect_uris);
      return uris.length === 0 ? done(client.client_id) : toDo(`add the redirect URIs ${uris.join(", ")}`);
    },
    async apply() {
      const client = await find();
      if (client && (await readable(client))) {
        await addRedirectUris(context, client, missing(client.redirect_uris));
        return [];
      }
      const made = await need(management).registerClient(answers.slug, {
        client_name: CLIENT_NAME,
        redirect_uris: wanted,
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        scope: SCOPES.join(" "),
        token_endpoint_auth_method: "client_secret_post",
        id_token_signed_response_alg: ALGORITHM,
      });
      context.passing.clientSecret = made.clientSecret;
      await record.write({ client: made.clientId, mappers: undefined, mappersOf: undefined });
      return client ? [`The old client ${client.client_id} is left: delete it in Clavex when nobody uses it.`] : [];
    },
    async undo() {
      const { client, redirectUris: added } = await record.read();
      if (added !== undefined && added.client !== client) await removeRedirectUris(context, added);
      if (client === undefined) return added && `redirect URIs of ${added.client} removed`;
      if (await need(management).client(client)) await need(management).deleteClient(client);
      await record.write({ client: undefined, redirectUris: undefined, mappers: undefined, mappersOf: undefined });
      return `${client} deleted`;
    },
  };
}

/** Writes down what is added, unless the client is setup's own: that is deleted as a whole. */
async function addRedirectUris(
  { management, record }: SetupContext,
  client: OidcClient,
  added: string[],
): Promise<void> {
  const { client: made, redirectUris: before } = await record.read();
  const { client_id: id, redirect_uris: present } = client;
  if (id !== made) {
    const earlier = before?.client === id ? before.added : [];
    await record.write({ redirectUris: { client: id, added: [...new Set([...earlier, ...added])] } });
  }
  await need(management).updateClient(id, { redirect_uris: [...present, ...added] });
}

async function removeRedirectUris(
  { management, record }: SetupContext,
  { client: id, added }: { client: string; added: string[] },
): Promise<void> {
  const client = await need(management).client(id);
  const left = client?.redirect_uris.filter((uri) => !added.includes(uri)) ?? [];
  // Clavex has no client without an address: one that has no other now keeps what it has.
  if (left.length > 0) await need(management).updateClient(id, { redirect_uris: left });
  await record.write({ redirectUris: undefined });
}

/** The mappers that bring claims into the id token; without `add_to_access_token` Clavex skips them everywhere. */
function wantedMappers(quotaAttribute: string): NewMapper[] {
  const tokens = { add_to_access_token: true, add_to_id_token: true, add_to_userinfo: true };
  return [
    { name: "nc-groups", mapper_type: "group_membership", claim_name: "groups", ...tokens },
    { name: "nc-email", mapper_type: "user_property", attribute_name: "email", claim_name: "email", ...tokens },
    { name: "nc-quota", mapper_type: "user_attribute", attribute_name: quotaAttribute, claim_name: "quota", ...tokens },
    { name: "nc-picture", mapper_type: "user_attribute", attribute_name: "picture", claim_name: "picture", ...tokens },
  ];
}

/** The mappers of the client: groups, e-mail, quota and picture. Clavex has none for a full name. */
export function mappersStep(context: SetupContext, find: () => Promise<OidcClient | undefined>): Step {
  const { management, record } = context;
  const wanted = wantedMappers(context.configured?.quota.attribute ?? "nextcloud_quota");

  async function missing(): Promise<NewMapper[]> {
    const client = await find();
    const present = client ? await need(management).mappers(client.client_id) : [];
    return wanted.filter(
      ({ claim_name: claim }) => !present.some((each) => each.claim_name === claim && each.add_to_access_token),
    );
  }

  return {
    title: "Clavex: claims of the client",
    async inspect(): Promise<Inspection> {
      if (!management) return byHand("Make mappers for groups, e-mail, quota and picture.", TOKEN);
      const names = (await missing()).map(({ claim_name: claim }) => claim);
      return names.length === 0 ? done() : toDo(`create mappers for ${names.join(", ")}`);
    },
    async apply() {
      const client = await find();
      if (!client) return ["There is no client yet: run setup again."];
      const names: string[] = [];
      const present = await need(management).mappers(client.client_id);
      for (const mapper of await missing()) {
        // An existing one of this name has no effect: names are unique, and its flags decide.
        const useless = present.find(({ name }) => name === mapper.name);
        if (useless) await need(management).deleteMapper(client.client_id, useless.id);
        await need(management).createMapper(client.client_id, mapper);
        names.push(mapper.name);
      }
      await record.write({
        mappers: [...new Set([...((await record.read()).mappers ?? []), ...names])],
        mappersOf: client.client_id,
      });
      return [];
    },
    async undo() {
      const { mappers, mappersOf } = await record.read();
      if (mappers === undefined) return undefined;
      const id = mappersOf ?? (await find())?.client_id;
      const client = id === undefined ? undefined : await need(management).client(id);
      for (const each of client ? await need(management).mappers(client.client_id) : []) {
        if (mappers.includes(each.name)) await need(management).deleteMapper(each.client_id, each.id);
      }
      await record.write({ mappers: undefined, mappersOf: undefined });
      return "deleted";
    },
  };
}

/** The token may not do all that setup does; nothing has been changed yet. */
class PermissionsMissing extends PipelineFailure {
  constructor(missing: string[]) {
    super(
      "configuration",
      "clavex-permissions-missing",
      `the token of Clavex lacks the permissions ${missing.join(", ")}`,
      "organization",
      {
        fix: `Use an administrator's token, or an API key with ${SETUP_PERMISSIONS.join(", ")}: nobody can grant a permission that they do not hold.`,
      },
    );
  }
}

/** Something in Clavex must be changed, but there is no token to do it with. */
class TokenMissing extends PipelineFailure {
  constructor() {
    super("configuration", "clavex-token-missing", "this needs an administrator's token of Clavex", "organization", {
      fix: "Log in when setup asks, or put a token into the environment variable CLAVEX_ADMIN_TOKEN for this run; it is not kept.",
    });
  }
}

function need(management: ManagementApi | undefined): ManagementApi {
  if (management) return management;
  throw new TokenMissing();
}
