import { isIP } from "node:net";
import { API_KEY_PERMISSIONS, WEBHOOK_EVENTS } from "../clavex/contract.ts";
import { type Delivery, isPrefixOf, isTokenRefused } from "../clavex/management-api.ts";
import { counted } from "../core/text.ts";
import { type Check, type Finding, fail, ok, skipped, warn } from "./check.ts";
import { clockFinding } from "./clock.ts";
import type { DoctorContext } from "./context.ts";

const RECENT_DELIVERIES = 20;
const TOKEN_FIX =
  "For one run, put an administrator's Clavex login into CLAVEX_ADMIN_EMAIL and CLAVEX_ADMIN_PASSWORD, or a token into CLAVEX_ADMIN_TOKEN (docs/connect.md#token). It is used for reading only.";

/** Clavex: reachable, and allowed to be read; its webhook subscription. */
export const clavexChecks: Check[] = [
  {
    id: "clavex.reachable",
    title: "Clavex answers",
    docs: "docs/connect.md#reachable",
    run: reachable,
  },
  {
    id: "clavex.clock",
    title: "Clavex's clock is right",
    docs: "docs/connect.md#reachable",
    needs: ["clavex.reachable"],
    async run(context) {
      const { headers } = await context.discoveryAnswer();
      return clockFinding("clavex", String(headers.date ?? ""), context.now());
    },
  },
  {
    id: "clavex.api-key",
    title: "Clavex accepts the API key",
    docs: "docs/connect.md#api-key",
    needs: ["clavex.reachable"],
    async run(context) {
      if (context.directory === undefined) {
        return skipped(
          "no clavex.apiKey is configured: accounts come from webhooks alone, without groups and reconciliation",
          "Create one with the permissions users:read and groups:read and name it in clavex.apiKey.",
        );
      }
      const groups = await context.groupNames();
      if (context.everybody === false) {
        await context.directory.probe([]);
        return ok(`it reads people and ${counted(groups.length, "group")}`);
      }
      const users = await context.users();
      return ok(`it reads ${counted(users.length, "person", "people")} and ${counted(groups.length, "group")}`);
    },
  },
  {
    id: "clavex.api-key-permissions",
    title: "The API key may do nothing else",
    docs: "docs/connect.md#api-key",
    needs: ["clavex.api-key"],
    run: apiKeyPermissions,
  },
  {
    id: "clavex.admin-token",
    title: "An administrator's token shows the rest",
    docs: "docs/connect.md#doctor",
    needs: ["clavex.reachable"],
    async run(context) {
      if (context.management === undefined) {
        return skipped(
          "the subscription, the client with its signing algorithm (by default PS256, which user_oidc cannot read) and its mappers cannot be read with the API key",
          TOKEN_FIX,
        );
      }
      await context.webhooks();
      return ok();
    },
  },
  {
    id: "clavex.webhook",
    title: "Clavex has the webhook subscription",
    docs: "docs/connect.md#webhook",
    needs: ["clavex.admin-token"],
    run: webhookExists,
  },
  {
    id: "clavex.webhook-active",
    title: "The subscription is active",
    docs: "docs/connect.md#webhook",
    needs: ["clavex.webhook"],
    async run(context) {
      return (await context.webhook())?.is_active
        ? ok()
        : fail("the subscription is switched off", "Switch it on in Clavex, or run npx clavex-nextcloud setup again.");
    },
  },
  {
    id: "clavex.webhook-events",
    title: "The subscription has the events",
    docs: "docs/connect.md#webhook",
    needs: ["clavex.webhook"],
    async run(context) {
      const { events = [] } = (await context.webhook()) ?? {};
      const missing = WEBHOOK_EVENTS.filter((event) => !events.includes(event));
      if (missing.length === 0) return ok();
      return fail(
        `the subscription lacks ${missing.join(", ")} (Clavex knows no wildcards)`,
        "Add the events in Clavex, or run npx clavex-nextcloud setup again.",
      );
    },
  },
  {
    id: "clavex.webhook-address",
    title: "Clavex can post to the webhook's address",
    docs: "docs/connect.md#webhook",
    run: webhookAddress,
  },
  {
    id: "clavex.deliveries",
    title: "The last deliveries arrived",
    docs: "docs/connect.md#webhook",
    needs: ["clavex.webhook"],
    run: lastDeliveries,
  },
  {
    id: "clavex.other-subscriptions",
    title: "No older subscription holds the deliveries up",
    docs: "docs/connect.md#webhook",
    needs: ["clavex.webhook"],
    run: olderSubscriptions,
  },
  {
    id: "clavex.audit-sink",
    title: "An audit sink brings hints about SCIM and groups",
    docs: "docs/connect.md#audit-sink",
    needs: ["clavex.webhook"],
    run: auditSink,
  },
];

/** Any answer that is not a redirect or a server error will do: the next checks look at its content. */
async function reachable(context: DoctorContext): Promise<Finding> {
  const { status, headers } = await context.discoveryAnswer();
  if (status >= 300 && status < 400) {
    return fail(
      `Clavex answers HTTP ${status}, a redirect to ${String(headers.location ?? "nowhere")}`,
      "Set clavex.baseUrl to the address it redirects to: no request follows a redirect.",
    );
  }
  if (status >= 500)
    return fail(`Clavex answers HTTP ${status}`, "See Clavex's log, and that of any proxy in front of it.");
  return ok();
}

/** Reads what Clavex has written down for the key in use; without a token, tries which other readings it may do. */
async function apiKeyPermissions(context: DoctorContext): Promise<Finding> {
  const key = (await context.apiKey()) ?? "";
  const listed = (await context.management?.apiKeys().catch(noneWhenRefused)) ?? [];
  const named = listed.find((each) => each.is_active && isPrefixOf(each.key_prefix, key));
  const more = named
    ? named.permissions.filter((permission) => !API_KEY_PERMISSIONS.includes(permission))
    : await otherReadings(context);
  const fix = `Create a key with ${API_KEY_PERMISSIONS.join(" and ")} only, put it where clavex.apiKey points, and revoke this one.`;
  if (named?.permissions.length === 0) return warn("the key has no list of permissions: it may do everything", fix);
  return more.length === 0 ? ok() : warn(`the key may also do ${more.join(", ")}`, fix);
}

async function otherReadings({ withApiKey }: DoctorContext): Promise<string[]> {
  const may = async (read: () => Promise<unknown>): Promise<boolean> => {
    try {
      await read();
      return true;
    } catch (error) {
      if (isTokenRefused(error)) return false;
      throw error;
    }
  };
  const readings: [string, () => Promise<unknown>][] = withApiKey
    ? [
        ["webhooks:read", () => withApiKey.webhooks()],
        ["clients:read", () => withApiKey.clients()],
        ["audit:read", () => withApiKey.sinks()],
        ["security:read", () => withApiKey.apiKeys()],
      ]
    : [];
  const found: string[] = [];
  for (const [permission, read] of readings) if (await may(read)) found.push(permission);
  return found;
}

function noneWhenRefused(error: unknown): [] {
  if (isTokenRefused(error)) return [];
  throw error;
}

async function webhookExists(context: DoctorContext): Promise<Finding> {
  const { slug } = context.organization;
  const webhook = await context.webhook();
  const url = context.webhookUrl ?? `https://YOUR-HOST/webhooks/clavex/${slug}`;
  if (webhook) return ok(webhook.url);
  return fail(
    `no subscription of this organization posts to ${url}`,
    "Run npx clavex-nextcloud setup with --webhook-url, or create it by hand: see docs/connect.md.",
  );
}

/** Clavex refuses private and loopback targets (docs/facts/clavex.md 1), unless it lives on this machine too. */
async function webhookAddress(context: DoctorContext): Promise<Finding> {
  const token = context.management && (await context.webhook().catch(() => undefined));
  const url = token?.url ?? context.webhookUrl;
  if (url === undefined) {
    return skipped(
      "the webhook's address is not known here",
      "Name it with --webhook-url https://YOUR-HOST/webhooks/clavex/SLUG.",
    );
  }
  const { hostname, protocol } = new URL(url);
  if (isPrivate(hostname) && !isPrivate(new URL(context.organization.clavex.baseUrl).hostname)) {
    return fail(
      `${hostname} is a private address: Clavex does not post to it`,
      "Put a proxy with TLS and a public name in front (docs/local.md), or set http.allow_private_outbound_targets in Clavex.",
    );
  }
  if (protocol !== "https:" && !isPrivate(hostname)) {
    return fail(
      "the webhook's address is not https",
      "Put a proxy with TLS in front: the deliveries hold people's data.",
    );
  }
  return ok(url);
}

/** Names and addresses that only this machine or its network can reach. */
export function isPrivate(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (host === "localhost" || host.endsWith(".local") || host.endsWith(".internal")) return true;
  if (isIP(host) === 6) return host === "::1" || /^f[cd]|^fe[89ab]/i.test(host);
  if (isIP(host) !== 4) return false;
  const [a = 0, b = 0] = host.split(".").map(Number);
  return (
    a === 10 ||
    a === 127 ||
    a === 0 ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 169 && b === 254)
  );
}

const DELIVERY_FIXES: Record<number, string> = {
  401: "The secret here is not that of the subscription: put the one that Clavex showed into clavex.webhookSecrets, or delete the subscription and run setup again.",
  404: "The subscription's URL must end with /webhooks/clavex/SLUG.",
  413: "Something between Clavex and the pipeline changes the body.",
};

async function lastDeliveries(context: DoctorContext): Promise<Finding> {
  const webhook = await context.webhook();
  const deliveries =
    webhook && context.management ? await context.management.deliveries(webhook.id, RECENT_DELIVERIES) : [];
  const [newest] = deliveries;
  if (newest === undefined) return ok("none so far");
  if (newest.status !== "failed") return ok(`the last one at ${newest.attempted_at}`);
  const { http_status: status } = newest;
  const failed = deliveries.filter((each) => each.status === "failed").length;
  return fail(
    `the last delivery failed (${answerOf(newest)}), ${failed} of the last ${deliveries.length} attempts`,
    DELIVERY_FIXES[status ?? 0] ??
      "Is the pipeline running, and can Clavex reach it? What Clavex has given up is found by the next reconciliation.",
  );
}

/**
 * Clavex serves the subscriptions one by one, oldest first, with all retries in between: one that fails delays
 * those after it by 5 s, one that hangs by up to 95 s (docs/facts/clavex.md 1).
 */
async function olderSubscriptions(context: DoctorContext): Promise<Finding> {
  const { management } = context;
  const [webhook, all] = [await context.webhook(), await context.webhooks()];
  if (webhook === undefined || management === undefined) return skipped("there is no subscription");
  const older = all.slice(all.findIndex(({ id }) => id === webhook.id) + 1).filter((each) => each.is_active);
  const failing: string[] = [];
  for (const { id, url } of older) {
    const [newest] = await management.deliveries(id, 1);
    if (newest?.status === "failed") failing.push(`${withoutQuery(url)} (${answerOf(newest)})`);
  }
  if (failing.length === 0) return ok();
  return warn(
    `deliveries wait, each up to 95 s, for older subscriptions that fail: ${failing.join(", ")}`,
    "Fix their receivers, or switch the subscriptions off or delete them in Clavex.",
  );
}

/** A query may hold a secret. */
function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/, "");
}

const answerOf = ({ http_status: status }: Delivery): string => (status ? `HTTP ${status}` : "no answer");

async function auditSink(context: DoctorContext): Promise<Finding> {
  const webhook = await context.webhook();
  const sinks = context.management ? await context.management.sinks().catch(noneWhenRefused) : [];
  const sink = sinks.find((each) => each.sink_type === "webhook" && each.config?.url === webhook?.url);
  if (sink === undefined) return ok("none: changes by SCIM and of groups wait for the next reconciliation");
  const { is_active: active, failure_count: failed, success_count: arrived } = sink;
  if (!active) return warn("the audit sink is switched off", "Switch it on in Clavex, or delete it.");
  if (failed === 0 || arrived > 0) return ok();
  return warn(
    `none of the audit sink's deliveries arrived (${failed} failed)`,
    "Is the pipeline running? Else its secret is not the webhook's: delete it in Clavex and run npx clavex-nextcloud setup --audit-sink.",
  );
}
