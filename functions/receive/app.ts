import { type Context, Hono } from "hono";
import { type Hint, parseDelivery } from "../clavex/events.ts";
import { SIGNATURE_HEADER, verifySignature } from "../clavex/signature.ts";
import { snapshotOf } from "../clavex/snapshot.ts";
import type { Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import { isWithin } from "../core/clock.ts";
import { Failure } from "../core/failure.ts";
import type { Job } from "../core/job.ts";
import type { Organization } from "../core/organization.ts";
import type { AskPaused } from "../ledger/pause.ts";
import type { Sender } from "../queue/queue.ts";
import type { Log } from "../telemetry/log.ts";
import type { Counters } from "../telemetry/metrics.ts";
import { problemOf } from "../telemetry/problem.ts";
import { createBodyReader, type Unread } from "./body.ts";

export interface ReceiverDependencies {
  organizations: Organizations;
  secrets: Secrets;
  queue: Pick<Sender, "send">;
  /** Whether nothing is to be queued for an organization that can be asked again later. */
  isPaused: AskPaused;
  log: Log;
  counters: Counters;
  now?: () => number;
}

/** A signature that does not match may be one of a rotated secret; secrets are read again for it at most this often. */
const SECRET_REFRESH_MS = 60_000;
/** The form of Clavex's signatures; anything else cannot be one of a rotated secret. */
const SIGNATURE = /^sha256=[0-9a-f]{64}$/i;
const PAUSE_FRESH_MS = 10_000;
const RETRY_AFTER_SECONDS = "30";

/**
 * The webhook endpoint: verifies a delivery, classifies it, and queues a job for the subject it is about. Nothing is looked
 * up beyond the configuration, so that Clavex gets its answer at once; the delivery is only a hint.
 */
export function createReceiver(dependencies: ReceiverDependencies): Hono {
  const { organizations, log, counters } = dependencies;
  const isPaused = rememberPause(dependencies.isPaused, dependencies.now ?? Date.now);
  const verify = createVerifier(dependencies.secrets, dependencies.now ?? Date.now);
  const readBody = createBodyReader();
  const app = new Hono();

  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.post("/webhooks/clavex/:organization", async (c) => {
    const started = performance.now();
    const slug = c.req.param("organization");
    const outcome = await receive(slug, c).catch((error): Outcome => {
      if (!(error instanceof Failure)) throw error;
      counters.count(error.failureClass === "configuration" ? "ConfigurationErrors" : "QueueFailures");
      log.error("delivery not accepted", { organization: slug, ...problemOf(error) });
      return { status: 503, body: { error: "try again later" } };
    });
    if (outcome.status === 503) c.header("Retry-After", RETRY_AFTER_SECONDS);
    const { hint } = outcome;
    const subject = hint?.concerns === "subject" ? hint.subject : undefined;
    const milliseconds = Math.round(performance.now() - started);
    const told = { deliveryId: hint?.deliveryId, event: hint?.event, subject, ...outcome.body, milliseconds };
    // Unauthenticated requests are not logged: that would be a way to fill the log. What failed has been reported before.
    if (!outcome.unauthenticated && outcome.status !== 503) log.info("delivery", { organization: slug, ...told });
    return c.json(outcome.body, outcome.status);
  });
  app.all("/webhooks/clavex/:organization", (c) => c.json({ error: "method not allowed" }, 405, { Allow: "POST" }));
  app.all("/healthz", (c) => c.json({ error: "method not allowed" }, 405, { Allow: "GET" }));
  app.notFound((c) => c.json({ error: "not found" }, 404));
  app.onError((error, c) => {
    log.error("receiver failed", { ...problemOf(error) });
    c.header("Retry-After", RETRY_AFTER_SECONDS);
    return c.json({ error: "try again later" }, 503);
  });

  async function receive(slug: string, c: Context): Promise<Outcome> {
    const signature = c.req.header(SIGNATURE_HEADER);
    // Answered before its body is read, and without looking anything up.
    if (signature === undefined) return unauthorized("DeliveriesUnsigned");
    const body = await readBody(c.req.raw);
    if (typeof body === "string") {
      log.debug("body not read", { reason: body });
      return UNREAD[body];
    }
    const organization = await organizations.get(slug);
    if (!organization) return unauthorized("DeliveriesUnsigned");
    if (!(await verify(organization, body, signature)))
      return unauthorized(SIGNATURE.test(signature) ? "SignatureFailures" : "DeliveriesUnsigned");
    let hint: Hint;
    try {
      hint = parseDelivery(body, organization.organizationId);
    } catch (error) {
      if (!(error instanceof Failure && error.failureClass === "permanent")) throw error;
      counters.count("DeliveriesMalformed");
      return { status: 400, body: { error: error.message } };
    }
    const decision = await pausedOr(organization, decide(hint, organization));
    if ("reason" in decision) {
      counters.count("DeliveriesIgnored");
      return { status: 202, body: { status: "ignored", reason: decision.reason }, hint };
    }
    await dependencies.queue.send(decision.job, hint.deliveryId);
    counters.count("DeliveriesQueued");
    return { status: 202, body: { status: "queued" }, hint };
  }

  /** A full run after the pause finds what a job would have done. Without an API key only the job knows it. */
  async function pausedOr(organization: Organization, decision: ReturnType<typeof decide>): Promise<typeof decision> {
    if ("reason" in decision || organization.clavex.apiKey === undefined) return decision;
    return (await isPaused(organization)) ? { reason: "the organization is paused" } : decision;
  }

  function unauthorized(counter: "DeliveriesUnsigned" | "SignatureFailures"): Outcome {
    counters.count(counter);
    log.debug("signature or organization refused");
    return { status: 401, body: { error: "unauthorized" }, unauthenticated: true };
  }

  return app;
}

interface Outcome {
  status: 202 | 400 | 401 | 413 | 503;
  body: Record<string, string>;
  hint?: Hint;
  /** Refused before it was known whether Clavex sent it. */
  unauthenticated?: true;
}

const UNREAD: Record<Unread, Outcome> = {
  "too large": { status: 413, body: { error: "the body is larger than 256 KiB" }, unauthenticated: true },
  interrupted: { status: 400, body: { error: "the body ended early" }, unauthenticated: true },
  busy: { status: 503, body: { error: "try again later" }, unauthenticated: true },
};

/** What a hint leads to: a job, or the reason why none is sent. */
export function decide(hint: Hint, organization: Organization): { job: Job } | { reason: string } {
  if (hint.concerns === "ignored") return { reason: hint.reason };
  const { event, deliveryId, occurredAt, about } = hint;
  const trigger = { kind: "webhook", event, deliveryId, occurredAt, about } as const;
  const common = { version: 2, organization: organization.slug, trigger } as const;
  const readable = organization.clavex.apiKey !== undefined;
  if (hint.concerns === "group") {
    return readable
      ? { job: { ...common, kind: "groups" } }
      : { reason: "without clavex.apiKey no groups can be read" };
  }
  const job = { ...common, kind: "person", subject: hint.subject } as const;
  if (readable || about === "deletion") return { job };
  const snapshot = snapshotOf(hint.data, organization.quota.attribute);
  if (snapshot?.id === hint.subject) return { job: { ...job, snapshot } };
  return { reason: `event ${event} carries no data of its user, and without clavex.apiKey none can be read` };
}

/** Asks at most every ten seconds; no answer counts as "not paused": the worker asks again before it does anything. */
function rememberPause(ask: AskPaused, now: () => number): AskPaused {
  const known = new Map<string, { at: number; answer: Promise<boolean> }>();
  return (organization) => {
    const before = known.get(organization.slug);
    if (before !== undefined && isWithin(before.at, PAUSE_FRESH_MS, now())) return before.answer;
    const answer = ask(organization).catch(() => false);
    known.set(organization.slug, { at: now(), answer });
    return answer;
  };
}

function createVerifier(secrets: Secrets, now: () => number) {
  const refreshed = new Map<string, number>();
  return async (organization: Organization, body: Uint8Array, signature: string): Promise<boolean> => {
    if (verifySignature(body, signature, await secrets.webhook(organization))) return true;
    const time = now();
    if (isWithin(refreshed.get(organization.slug), SECRET_REFRESH_MS, time)) return false;
    refreshed.set(organization.slug, time);
    return verifySignature(body, signature, await secrets.webhook(organization, time));
  };
}
