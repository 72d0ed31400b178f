import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { type Database, openDatabase } from "../../functions/database.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { createReceiver } from "../../functions/receive/app.ts";
import { environmentOf, organizationOf } from "../core/organization.ts";
import { signed } from "../support/requests.ts";

const ORGANIZATION = organizationOf();
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let folder: string;
let database: Database;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  database = openDatabase(folder);
});
afterEach(async () => {
  database.close();
  await rm(folder, { recursive: true });
});

/** SQLite fails in the same way when it may use no more pages as when the disk has no more room. */
function limitPages(pages: number): void {
  database.prepare(`PRAGMA max_page_count = ${pages}`).get();
}

test("while the disk is full deliveries are answered with 503; once there is room again they are taken, and none was lost", async () => {
  const queue = createSqliteQueue(database, { visibilitySeconds: 30 });
  const receiver = createReceiver({
    organizations: fixedOrganizations([ORGANIZATION]),
    secrets: environmentSecrets(environmentOf("", ORGANIZATION.slug)),
    queue,
    isPaused: async () => false,
    log: silent,
    counters: { count: () => undefined, measure: () => undefined, flush: () => undefined },
  });
  const accepted: string[] = [];
  async function post(): Promise<Response> {
    const id = randomUUID();
    const data = { id: randomUUID(), org_id: ORGANIZATION.organizationId };
    const body = JSON.stringify({ id, event: "user.deleted", occurred_at: new Date().toISOString(), data });
    const answer = await receiver.request("/webhooks/clavex/acme", signed(body));
    if (answer.status === 202) accepted.push(id);
    return answer;
  }

  limitPages(40);
  let answer = await post();
  while (answer.status === 202) answer = await post();
  expect(answer.status).toBe(503);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await post()).status).toBe(503);
  limitPages(1_000_000);
  expect((await post()).status).toBe(202);

  const queued: string[] = [];
  for (;;) {
    const messages = await queue.receive({ most: 10, waitSeconds: 0 });
    if (messages.length === 0) break;
    queued.push(...messages.map(({ body }) => JSON.parse(body).trigger.deliveryId));
    await queue.done(messages);
  }
  expect(queued.sort()).toEqual(accepted.sort());
  expect(accepted.length).toBeGreaterThan(10);
});
