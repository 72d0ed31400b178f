import { API_KEY_PERMISSIONS, AUDIT_ACTIONS, MADE_BY_SETUP, WEBHOOK_EVENTS } from "../clavex/contract.ts";
import type { ManagementApi, NewMapper, OidcClient } from "../clavex/management-api.ts";
import { PipelineFailure } from "../core/failure.ts";
import { READABLE_ALGORITHM, redirectUris, SCOPES } from "../nextcloud/user-oidc.ts";
import { forgetSecret, keepSecret, type SetupContext } from "./context.ts";
import { byHand, done, type Inspection, type Step, toDo } from "./step.ts";

const CLIENT_NAME = "Nextcloud";
const TOKEN =
  "Give an administrator's token in CLAVEX_ADMIN_TOKEN and run setup again, or do it as docs/connect.md says.";

/** The least-privilege API key: `users:read` and `groups:read`. */
export function apiKeyStep(context: SetupContext): Step {
  const { management, store, record } = context;
  return {
    title: "Clavex: API key",
    async inspect() {
      if (await store.read("apiKey")) return done(`kept in ${store.place("apiKey")}`);
      if (!management) return byHand(`Mint an API key with ${API_KEY_PERMISSIONS.join(" and ")}.`, TOKEN);
      return toDo(`mint one with ${API_KEY_PERMISSIONS.join(" and ")}, keep it in ${store.place("apiKey")}`);
    },
    async apply() {
      const key = await need(management).createApiKey(MADE_BY_SETUP, API_KEY_PERMISSIONS);
      await record.write({ apiKey: true });
      await keepSecret(context, "apiKey", key);
      return [];
    },
    async undo() {
      if (!(await record.read()).apiKey) return undefined;
      for (const { id, name } of await need(management).apiKeys()) {
        if (name === MADE_BY_SETUP) await need(management).deleteApiKey(id);
      }
      await forgetSecret(context, "apiKey");
      await record.write({ apiKey: undefined });
      return "revoked";
    },
  };
}

/** The webhook subscription. Its secret is shown once: a subscription whose secret was not stored is replaced. */
export function webhookStep(context: SetupContext): Step {
  const { management, store, record, answers } = context;
  const url = answers.webhookUrl;

  const existing = async () => (await need(management).webhooks()).filter((each) => each.url === url);
  const missing = (events: string[]): string[] => WEBHOOK_EVENTS.filter((event) => !events.includes(event));

  return {
    title: "Clavex: webhook subscription",
    async inspect() {
      if (url === undefined) return byHand("Name the webhook's address with --webhook-url and run setup again.");
      if (!management) return byHand(`Subscribe ${url} to ${WEBHOOK_EVENTS.join(", ")}.`, TOKEN);
      const [found] = await existing();
      if (!(await store.read("webhook"))) {
        return toDo(
          found
            ? `replace the subscription of ${url}, whose secret is not known here, and keep the new one in ${store.place("webhook")}`
            : `subscribe ${url}, keep the secret in ${store.place("webhook")}`,
        );
      }
      if (!found) return toDo(`subscribe ${url}, keep its new secret in ${store.place("webhook")}`);
      if (!found.is_active) return toDo("switch the subscription on");
      const events = missing(found.events);
      return events.length === 0 ? done(url) : toDo(`add the events ${events.join(", ")}`);
    },
    async apply() {
      const old = await existing();
      const [found] = old;
      if (found && (await store.read("webhook"))) {
        const events = [...found.events, ...missing(found.events)];
        await need(management).updateWebhook(found.id, { events, is_active: true });
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

/** The audit sink, for hints about SCIM and groups that no webhook sends. It signs with the webhook's secret. */
export function auditSinkStep(context: SetupContext): Step {
  const { management, store, record, answers } = context;
  const ours = async () => (await need(management).sinks()).find((each) => each.name === MADE_BY_SETUP);
  return {
    title: "Clavex: audit sink",
    async inspect() {
      if (!answers.auditSink) return done("not wanted (--audit-sink)");
      if (answers.webhookUrl === undefined) return byHand("Name the webhook's address with --webhook-url.");
      if (!management) return byHand(`Make an audit sink of type webhook for ${answers.webhookUrl}.`, TOKEN);
      return (await ours()) ? done() : toDo(`make one of type webhook for ${answers.webhookUrl}`);
    },
    async apply() {
      const secret = await store.read("webhook");
      if (secret === undefined) return ["The webhook's secret is not known yet: run setup again."];
      const url = answers.webhookUrl ?? "";
      await need(management).createSink({ name: MADE_BY_SETUP, url, secret, actions: AUDIT_ACTIONS });
      await record.write({ sink: MADE_BY_SETUP });
      return [];
    },
    async undo() {
      const { sink } = await record.read();
      if (sink === undefined) return undefined;
      const made = await ours();
      if (made) await need(management).deleteSink(made.id);
      await record.write({ sink: undefined });
      return "deleted";
    },
  };
}

/** The OIDC client, registered dynamically: that is the only way to get id tokens signed with RS256 (docs/facts/clavex.md 8). */
export function clientStep(context: SetupContext, find: () => Promise<OidcClient | undefined>): Step {
  const { management, record, answers } = context;
  const uris = redirectUris(answers.nextcloudUrl);
  const readable = (client: OidcClient): boolean => READABLE_ALGORITHM.test(client.id_token_signed_response_alg ?? "");
  return {
    title: "Clavex: OIDC client",
    async inspect() {
      if (!management) return byHand(`Register a client for ${uris[0]} with RS256 id tokens.`, TOKEN);
      const client = await find();
      if (!client) return toDo(`register ${CLIENT_NAME} for ${uris[0]}, its id tokens signed RS256`);
      if (!readable(client))
        return toDo(
          `register a new one: the id tokens of ${client.client_id} are signed PS256, which user_oidc cannot read`,
        );
      if (!uris.some((uri) => client.redirect_uris.includes(uri))) return toDo(`add the redirect URI ${uris[0]}`);
      return done(client.client_id);
    },
    async apply() {
      const client = await find();
      if (client && readable(client)) {
        await need(management).updateClient(client.client_id, { redirect_uris: [...client.redirect_uris, ...uris] });
        return [];
      }
      const made = await need(management).registerClient(answers.slug, {
        client_name: CLIENT_NAME,
        redirect_uris: [...uris],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        scope: SCOPES.join(" "),
        token_endpoint_auth_method: "client_secret_post",
        id_token_signed_response_alg: "RS256",
      });
      context.passing.clientSecret = made.clientSecret;
      await record.write({ client: made.clientId, mappers: undefined });
      return client ? [`The old client ${client.client_id} is left: delete it in Clavex when nobody uses it.`] : [];
    },
    async undo() {
      const { client } = await record.read();
      if (client === undefined) return undefined;
      const present = (await need(management).clients()).some((each) => each.client_id === client);
      if (present) await need(management).deleteClient(client);
      await record.write({ client: undefined, mappers: undefined });
      return `${client} deleted`;
    },
  };
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
      return names.length === 0 ? done() : toDo(`make mappers for ${names.join(", ")}`);
    },
    async apply() {
      const client = await find();
      if (!client) return ["There is no client yet: run setup again."];
      const names: string[] = [];
      for (const mapper of await missing()) {
        await need(management).createMapper(client.client_id, mapper);
        names.push(mapper.name);
      }
      await record.write({ mappers: [...((await record.read()).mappers ?? []), ...names] });
      return [];
    },
    async undo() {
      const { mappers } = await record.read();
      const client = await find();
      if (mappers === undefined || !client) return undefined;
      for (const { id, name } of await need(management).mappers(client.client_id)) {
        if (mappers.includes(name)) await need(management).deleteMapper(client.client_id, id);
      }
      await record.write({ mappers: undefined });
      return "deleted";
    },
  };
}

/** Something in Clavex must be changed, but there is no token to do it with. */
class TokenMissing extends PipelineFailure {
  constructor() {
    super("configuration", "clavex-token-missing", "this needs an administrator's token of Clavex", "organization", {
      fix: "Put it into the environment variable CLAVEX_ADMIN_TOKEN for this run; it is not kept.",
    });
  }
}

function need(management: ManagementApi | undefined): ManagementApi {
  if (management) return management;
  throw new TokenMissing();
}
