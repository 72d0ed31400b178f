import { type Dispatcher, Pool } from "undici";
import { openDatabase } from "../../functions/database.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { sideBySide } from "../../functions/side-by-side.ts";
import { DEFAULT_ORGANIZATION } from "../../functions/simulated/clavex.ts";
import { DEFAULT_APP_PASSWORD } from "../../functions/simulated/nextcloud.ts";
import type { Place } from "./reconcile-process.ts";

const { id, slug, apiKey } = DEFAULT_ORGANIZATION;
const CLAVEX_PAGE = 200;
const IDS_PAGE = 500;
const DETAILS_PAGE = 200;

/** The parts of the servers' pages that lead to the next one; nothing is checked. */
interface ClavexPage {
  items: { id: string }[];
  next_cursor?: string;
}
interface NextcloudPage {
  ocs: { data: { users: object } };
}

/**
 * Reads what a full reconciliation reads, page after page, and drops it: the bare loop that reconciliation is measured
 * against.
 *
 * @param groupsAtOnce how many groups' members are read at a time
 */
export function readEverything(place: Place, groupsAtOnce: number): Promise<void> {
  return withLists(place, groupsAtOnce, async (lists) => {
    for (const list of lists) await list();
  });
}

/** Reads the same from both servers, all lists at once: they keep their answers from then on. */
export function fillServers(place: Place, groupsAtOnce: number): Promise<void> {
  return withLists(place, groupsAtOnce, async (lists) => void (await Promise.all(lists.map((list) => list()))));
}

/** Does something with the lists that a full reconciliation reads; each is read when it is called. */
async function withLists(
  { servers, stateFolder }: Place,
  groupsAtOnce: number,
  work: (lists: (() => Promise<void>)[]) => Promise<void>,
): Promise<void> {
  const clavex = new Pool(servers.clavex, { connections: groupsAtOnce });
  const nextcloud = new Pool(servers.nextcloud, { connections: groupsAtOnce });
  const database = openDatabase(stateFolder);
  try {
    const get = <Page>(path: string) =>
      read<Page>(clavex, `/api/v1/organizations/${id}${path}`, { "x-api-key": apiKey });
    await work([
      async () => {
        for await (const _page of sqliteTable(database).query(slug, "subject#"));
      },
      async () => {
        const groups: { id: string }[] = [];
        for await (const { items } of clavexPages((path) => get(path), "/groups")) groups.push(...items);
        await sideBySide(groups, groupsAtOnce, async (group) => void (await get(`/groups/${group.id}/members`)));
      },
      async () => {
        for await (const _page of clavexPages((path) => get(path), "/users"));
      },
      () => readNextcloud(nextcloud, "cloud/users", IDS_PAGE),
      () => readNextcloud(nextcloud, "cloud/users/details", DETAILS_PAGE),
    ]);
  } finally {
    await Promise.all([clavex.close(), nextcloud.close()]);
    database.close();
  }
}

async function read<Page>(server: Dispatcher, path: string, headers: Record<string, string>): Promise<Page> {
  const answer = await server.request({ method: "GET", path, headers });
  if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode} for ${path}`);
  return (await answer.body.json()) as Page;
}

async function* clavexPages(get: (path: string) => Promise<ClavexPage>, path: string): AsyncGenerator<ClavexPage> {
  let after = "";
  do {
    const page = await get(`${path}?limit=${CLAVEX_PAGE}${after}`);
    yield page;
    after = page.next_cursor === undefined ? "" : `&after=${page.next_cursor}`;
  } while (after !== "");
}

async function readNextcloud(server: Dispatcher, path: string, limit: number): Promise<void> {
  const authorization = `Basic ${Buffer.from(`provisioner:${DEFAULT_APP_PASSWORD}`).toString("base64")}`;
  const headers = { authorization, "ocs-apirequest": "true", accept: "application/json" };
  for (let offset = 0, count = 1; count > 0; offset += limit) {
    const query = `format=json&limit=${limit}&offset=${offset}`;
    const page = await read<NextcloudPage>(server, `/ocs/v2.php/${path}?${query}`, headers);
    count = Object.keys(page.ocs.data.users).length;
  }
}
