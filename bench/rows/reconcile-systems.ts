import { BatchWriteCommand, DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { userSchema } from "../../functions/clavex/user.ts";
import { desiredAccount, desiredGroups, desiredHash, groupsHash } from "../../functions/core/desired.ts";
import { groupId } from "../../functions/core/identity.ts";
import type { Organization } from "../../functions/core/organization.ts";
import { newRecord, type SubjectRecord, subjectItem } from "../../functions/core/record.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { type Endpoints, localClients } from "../../test/support/embedded.ts";
import { benchOrganization, IDENTITY, QUOTA } from "../organization.ts";
import { offer } from "../process.ts";

/** The simulated Clavex and Nextcloud in a process of their own; Nextcloud takes no longer than its simulation does. */
let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;

const { slug } = DEFAULT_ORGANIZATION;
const PEOPLE_TO_A_GROUP = 100;
const GROUPS_EACH = 2;
/** The most that one request may write. */
const BATCH = 25;
const CONCURRENT_BATCHES = 4;

const services = {
  async open() {
    clavex = await startSimulatedClavex();
    nextcloud = await startSimulatedNextcloud();
    return { clavex: clavex.url, nextcloud: nextcloud.url };
  },

  /** Everybody with their account, two groups and a record in the ledger, as the pipeline would have left them. */
  async settle(people: number, endpoints: Endpoints): Promise<void> {
    const clients = localClients(endpoints);
    try {
      const marshallOptions = { removeUndefinedValues: true };
      const documents = DynamoDBDocumentClient.from(clients.dynamodb, { marshallOptions });
      const ledger = createLedger(dynamoDbTable(clients.dynamodb, endpoints.tableName));
      const organization = benchOrganization({ clavex: clavex.url, nextcloud: nextcloud.url });
      const groups = await makeGroups((people * GROUPS_EACH) / PEOPLE_TO_A_GROUP, (gid, name) =>
        ledger.claims.claimGroup(nextcloud.url, gid, { owner: slug, name }),
      );
      const indexes = Array.from({ length: people }, (_, index) => index).values();
      const settleSome = async (): Promise<void> => {
        for (let some = [...indexes.take(BATCH)]; some.length > 0; some = [...indexes.take(BATCH)]) {
          const records = some.map((index) => settlePerson(organization, index, groups));
          await putRecords(documents, endpoints.tableName, records);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENT_BATCHES }, settleSome));
    } finally {
      clients.destroy();
    }
  },

  /** Lets every answer of both servers take this long (milliseconds). */
  delay(ms: number): void {
    for (const { faults } of [clavex, nextcloud]) {
      faults.clear();
      if (ms > 0) faults.add({ kind: "slow", ms });
    }
  },

  /** How many requests each server has received since this was asked last. */
  requests() {
    const counts = { clavex: clavex.requests.length, nextcloud: nextcloud.requests.length };
    clavex.requests.length = 0;
    nextcloud.requests.length = 0;
    return counts;
  },
};
export type ReconcileSystems = typeof services;

interface Group {
  id: string;
  gid: string;
  name: string;
}

async function makeGroups(count: number, claim: (gid: string, name: string) => Promise<unknown>): Promise<Group[]> {
  const groups: Group[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = `Group ${index}`;
    const gid = groupId(IDENTITY, name);
    nextcloud.addGroup(gid, name);
    await claim(gid, name);
    groups.push({ id: clavex.addGroup(slug, name).id, gid, name });
  }
  return groups;
}

/** Makes the person in both systems, and returns their record. */
function settlePerson(organization: Organization, index: number, groups: readonly Group[]): SubjectRecord {
  const fields = { email: `person.${index}@bench.example`, first_name: `Ada ${index}`, last_name: "Lovelace" };
  const person = userSchema.parse(clavex.addUser(slug, fields));
  const own = Array.from({ length: GROUPS_EACH }, (_, which) => groups[(index + which * 7) % groups.length]).filter(
    (group) => group !== undefined,
  );
  const names = own.map(({ name }) => name).sort();
  const desired = desiredAccount(organization, person.subject, { person, groups: names });
  if (desired.state !== "active") throw new Error("everybody here is active");
  const { displayName: name, email } = desired.profile;
  const claims = { name, email, quota: QUOTA.text };
  nextcloud.simulateLogin({ providerId: IDENTITY.providerId, sub: person.subject, claims });
  for (const { id, gid } of own) {
    clavex.addMember(slug, id, person.subject);
    nextcloud.addMember(gid, desired.accountId);
  }
  const readAt = Date.now();
  return {
    ...newRecord(person.subject, desired.accountId),
    state: desired.state,
    version: person.updatedAt,
    groups: desiredGroups(desired)
      .map(({ gid }) => gid)
      .sort(),
    applied: { desiredHash: desiredHash(desired), groupsHash: groupsHash(names), readAt, userReadAt: readAt },
    revision: 1,
  };
}

/** Faster than the ledger's own writing, which is one conditional request for each person. */
async function putRecords(documents: DynamoDBDocumentClient, table: string, records: SubjectRecord[]): Promise<void> {
  const requests = records.map((record) => ({
    PutRequest: { Item: { partition: slug, sort: `subject#${record.subject}`, ...subjectItem(record) } },
  }));
  const { UnprocessedItems = {} } = await documents.send(
    new BatchWriteCommand({ RequestItems: { [table]: requests } }),
  );
  if (Object.keys(UnprocessedItems).length > 0) throw new Error("the embedded ledger did not take all records");
}

offer(services, async () => {
  await Promise.all([clavex.close(), nextcloud.close()]);
});
