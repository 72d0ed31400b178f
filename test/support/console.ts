import { createActivityRing } from "../../functions/activity/ring.ts";
import { createAccess, newSecret } from "../../functions/console/access.ts";
import { createConsole } from "../../functions/console/app.ts";
import type { ConsoleDependencies } from "../../functions/console/dependencies.ts";
import type { Activity } from "../../functions/core/activity.ts";
import { openDatabase } from "../../functions/database.ts";
import type { Ledger } from "../../functions/ledger/ledger.ts";
import { createSqliteDeadLetterQueue, createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { createReconcile } from "../../functions/reconcile/reconcile.ts";
import { createDeadLetters } from "../../functions/replay/dead-letters.ts";
import type { Fields } from "../../functions/telemetry/log.ts";
import type { Tenant } from "./organization.ts";

/** The operator's pages of one organization, in this process, and a browser that was let in. */
export interface Desk {
  app: ReturnType<typeof createConsole>;
  token: string;
  queue: ConsoleDependencies["queue"];
  /** Keeps an event, as the pipeline does. */
  happened(activity: Activity): Promise<void>;
  /** What was logged. */
  lines: { message: string; fields: Fields }[];
  /** What a session's requests carry. */
  headers: Record<string, string>;
  /** Gets a page that has to be there; its text. */
  get(path: string): Promise<string>;
  /** Sends a form of ours, and follows to the page that it leads to; the path and text of that. */
  post(path: string, fields?: Record<string, string>): Promise<{ path: string; text: string }>;
  /** Jobs in the queue. */
  queued(): Promise<number>;
}

const HOST = "127.0.0.1:8788";
export const ORIGIN = `http://${HOST}`;

export interface DeskOptions
  extends Partial<Pick<ConsoleDependencies, "organizations" | "patienceMs" | "reconcile" | "stage" | "activities">> {
  ledger?: Ledger;
  browserUrl?: string;
}

/** Opens the pages on an organization's ledger. */
export async function openDesk(tenant: Tenant, options: DeskOptions = {}): Promise<Desk> {
  const { ledger = tenant.ledger, organizations = tenant.organizations, browserUrl, patienceMs, ...more } = options;
  const { secrets, clock } = tenant;
  const now = () => clock.now;
  const database = openDatabase(undefined);
  tenant.atEnd(database.close);
  const [queue, deadLetterQueue] = [
    createSqliteQueue(database, { visibilitySeconds: 30, now }),
    createSqliteDeadLetterQueue(database),
  ];
  const activities = createActivityRing(database);
  const lines: Desk["lines"] = [];
  const add = (message: string, fields: Fields = {}) => void lines.push({ message, fields });
  const log = { debug: add, info: add, warn: add, error: add };
  const counters = { count: () => undefined, measure: () => undefined, flush: () => undefined };
  const shared = { organizations, ledger, queue, clients: tenant.newClients(), log, startsPaused: false, now };
  const token = newSecret();
  const access = createAccess(token, now);
  const app = createConsole(
    {
      ...shared,
      deadLetterQueue,
      activities,
      stage: undefined,
      deadLetters: createDeadLetters({ ...shared, deadLetterQueue, slugs: organizations.slugs }),
      reconcile: createReconcile({ ...shared, counters }),
      doctorOptions: async (organization) => ({
        organization,
        others: [],
        secrets,
        ownAuthorities: false,
        pipeline: { ledger },
        settleMs: 0,
      }),
      patienceMs,
      ...more,
    },
    { access, browserUrl },
  );
  const headers: Record<string, string> = { host: HOST };
  const entered = await app.request(`/?token=${access.invite()}`, { headers });
  headers.cookie = entered.headers.get("set-cookie")?.split(";")[0] ?? "";
  const get = async (path: string): Promise<string> => {
    const answer = await app.request(path, { headers });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${path}: HTTP ${answer.status} ${text}`);
    return text;
  };
  return {
    app,
    token,
    queue,
    async happened(activity) {
      activities.record(activity);
      activities.flush();
      // Ordered after earlier writes.
      await database.write(() => undefined);
    },
    lines,
    headers,
    get,
    async post(path, fields = {}) {
      const form = /name="form" value="([^"]+)"/.exec(await get("/"))?.[1] ?? "";
      const body = new URLSearchParams({ form, ...fields });
      const answer = await app.request(path, { method: "POST", headers: { ...headers, origin: ORIGIN }, body });
      if (answer.status === 200) return { path, text: await answer.text() };
      const next = answer.headers.get("location");
      if (next === null) throw new Error(`${path}: HTTP ${answer.status} ${await answer.text()}`);
      return { path: next, text: await get(next) };
    },
    async queued() {
      const { waiting, delayed, inFlight } = await queue.counts();
      return waiting + delayed + inFlight;
    },
  };
}
