import { groupId } from "../../functions/core/identity.ts";
import type { Organization } from "../../functions/core/organization.ts";
import { type SubjectRecord, subjectItem } from "../../functions/core/record.ts";
import { openDatabase } from "../../functions/database.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { sqliteTable } from "../../functions/ledger/sqlite.ts";
import { ALWAYS } from "../../functions/ledger/table.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { benchOrganization, IDENTITY, QUOTA } from "../organization.ts";
import { offer } from "../process.ts";
import { settleAccount } from "../settled.ts";
import { type KeepingProxy, startKeepingProxy } from "./keeping-proxy.ts";

/**
 * The simulated Clavex and Nextcloud in a process of their own, each behind a proxy that has kept their answers since they were
 * first read: they take next to no time.
 */
let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;
let proxies: { clavex: KeepingProxy; nextcloud: KeepingProxy };

const { slug } = DEFAULT_ORGANIZATION;
const PEOPLE_TO_A_GROUP = 100;
const GROUPS_EACH = 2;
/** Records that are written to the ledger together. */
const BATCH = 10_000;

const services = {
  async open() {
    [clavex, nextcloud] = await Promise.all([startSimulatedClavex(), startSimulatedNextcloud()]);
    proxies = { clavex: await startKeepingProxy(clavex), nextcloud: await startKeepingProxy(nextcloud) };
    return { clavex: proxies.clavex.url, nextcloud: proxies.nextcloud.url };
  },

  /** Everybody with their account, two groups and a record in the ledger, as the pipeline would have left them. */
  async settle(people: number, stateFolder: string): Promise<void> {
    const database = openDatabase(stateFolder);
    try {
      const table = sqliteTable(database);
      const { claims } = createLedger(table);
      const organization = benchOrganization({ clavex: proxies.clavex.url, nextcloud: proxies.nextcloud.url });
      const groups = await makeGroups((people * GROUPS_EACH) / PEOPLE_TO_A_GROUP, (gid, name) =>
        claims.claimGroup(proxies.nextcloud.url, gid, { owner: slug, name }),
      );
      const records = Array.from({ length: people }, (_, index) => settlePerson(organization, index, groups));
      // In the table's own order it only grows at its end; and faster than the ledger's own writing, which looks at what is there.
      records.sort((a, b) => (a.subject < b.subject ? -1 : 1));
      for (let index = 0; index < people; index += BATCH) {
        const put = (record: SubjectRecord) =>
          table.put({ partition: slug, sort: `subject#${record.subject}` }, subjectItem(record), ALWAYS);
        await Promise.all(records.slice(index, index + BATCH).map(put));
      }
    } finally {
      database.close();
    }
  },

  /** Lets every answer of both servers take this long (milliseconds). */
  delay(ms: number): void {
    for (const proxy of [proxies.clavex, proxies.nextcloud]) proxy.delay(ms);
  },

  /** How many requests each server has received since this was asked last. */
  requests: () => ({ clavex: proxies.clavex.received(), nextcloud: proxies.nextcloud.received() }),
};
export type ReconcileSystems = typeof services;

interface Group {
  id: string;
  gid: string;
  name: string;
}

async function makeGroups(count: number, claim: (gid: string, name: string) => Promise<unknown>): Promise<Group[]> {
  const groups = Array.from({ length: count }, (_, index): Group => {
    const name = `Group ${index}`;
    const gid = groupId(IDENTITY, name);
    nextcloud.addGroup(gid, name);
    return { id: clavex.addGroup(slug, name).id, gid, name };
  });
  // All in one commit.
  await Promise.all(groups.map(({ gid, name }) => claim(gid, name)));
  return groups;
}

/** Makes the person in both systems, and returns their record. */
function settlePerson(organization: Organization, index: number, groups: readonly Group[]): SubjectRecord {
  const fields = { email: `person.${index}@bench.example`, first_name: `Ada ${index}`, last_name: "Lovelace" };
  const user = clavex.addUser(slug, fields);
  const own = Array.from({ length: GROUPS_EACH }, (_, which) => groups[(index + which * 7) % groups.length]).filter(
    (group) => group !== undefined,
  );
  for (const { id } of own) clavex.addMember(slug, id, user.id);
  const of = { groups: own.map(({ name }) => name), quota: QUOTA.text, readAt: Date.now() };
  return { ...settleAccount(nextcloud, organization, user, of), revision: 1 };
}

offer(services, async () => {
  await Promise.all([proxies.clavex.close(), proxies.nextcloud.close()]);
  await Promise.all([clavex.close(), nextcloud.close()]);
});
