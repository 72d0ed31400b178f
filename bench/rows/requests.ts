import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { createClients } from "../../functions/clients.ts";
import { fixedOrganizations } from "../../functions/config/organizations.ts";
import { groupId } from "../../functions/core/identity.ts";
import { createProbeDelay } from "../../functions/core/retry.ts";
import { dynamoDbTable } from "../../functions/ledger/dynamodb.ts";
import { createLedger } from "../../functions/ledger/ledger.ts";
import { createGuards } from "../../functions/provision/guards.ts";
import { createProvision } from "../../functions/provision/provision.ts";
import { startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { startEmbedded } from "../../test/support/embedded.ts";
import { personJob } from "../../test/support/jobs.ts";
import { type Call, connect, curlLoop, type LoopPerson } from "../loops.ts";
import { benchOrganization, benchSecrets, IDENTITY } from "../organization.ts";
import { cleanUp, type NextcloudServer, realNextcloud } from "../real-nextcloud.ts";
import type { Result } from "../report.ts";
import { Staff } from "../staff.ts";

/** What happens to people, and how many requests to Nextcloud the design asks for at most. */
export const LEAST_REQUESTS = {
  "new, 0 groups": 3,
  "new, 3 groups": 6,
  "new, 10 groups": 13,
  unchanged: 1,
  "changed name": 2,
  "changed quota": 2,
  "moved group": 3,
  suspended: 2,
} as const;

export type Case = keyof typeof LEAST_REQUESTS;
const CASES = Object.keys(LEAST_REQUESTS) as Case[];

/** Row 2: the requests that Nextcloud gets for one person, against those of an administrator's loop of curl. */
export async function requests(): Promise<Result[]> {
  const counted = await countRequests(realNextcloud());
  return CASES.map((name): Result => {
    const { pipeline, curl } = counted[name];
    return {
      row: "requests",
      measured: name,
      figures: `${pipeline} to Nextcloud`,
      baseline: `admin's curl loop: ${curl}`,
      ratio: pipeline / curl,
      target: { atMost: LEAST_REQUESTS[name] / curl },
      numbers: { pipeline, curl },
    };
  });
}

/**
 * Counts the HTTP requests that leave for Nextcloud, of the pipeline and of the loop, for each case. The groups are there
 * and known, as for everybody but a group's first member.
 *
 * @param real a real Nextcloud in place of a simulated one; what is made there is deleted again
 */
export async function countRequests(
  real: NextcloudServer | undefined,
): Promise<Record<Case, { pipeline: number; curl: number }>> {
  const clavex = await startSimulatedClavex();
  const simulated = real ? undefined : await startSimulatedNextcloud();
  const embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 30 });
  const server = real ?? { url: "", username: "", password: "", ...simulated };
  const clients = createClients({ secrets: benchSecrets(server.password), nextcloudConnections: 1 });
  const staff = new Staff(clavex);
  try {
    const organization = benchOrganization({ clavex: clavex.url, nextcloud: server.url, username: server.username });
    const ledger = createLedger(dynamoDbTable(embedded.clients.dynamodb, embedded.endpoints.tableName));
    const guards = createGuards({
      organizations: fixedOrganizations([organization]),
      clients,
      ledger,
      breakerDelay: createProbeDelay(),
    });
    const provision = createProvision({ guards, ledger });
    const bring = async ({ subject }: LoopPerson): Promise<void> => {
      await provision({ job: personJob(organization.slug, subject), sentAt: Date.now(), receiveCount: 1 });
    };
    // Makes the groups known, and the person who is changed in most cases.
    await bring(staff.hire(10));
    const ada = staff.hire(3);
    await bring(ada);

    const loop = connect(server, curlLoop);
    const again = (person: LoopPerson) => curlLoop.callsFor(loop.call, person);
    const steps: Record<Case, { change: () => LoopPerson; curl?: (call: Call) => Promise<void> }> = {
      "new, 0 groups": { change: () => staff.hire(0) },
      "new, 3 groups": { change: () => staff.hire(3) },
      "new, 10 groups": { change: () => staff.hire(10) },
      unchanged: { change: () => ada },
      "changed name": { change: () => staff.rename(ada) },
      "changed quota": { change: () => staff.grant(ada, "7 GB") },
      "moved group": {
        change: () => staff.move(ada),
        curl: async (call) => {
          await again(ada);
          await call("DELETE", `cloud/users/${ada.subject}/groups`, { groupid: groupId(IDENTITY, staff.left) });
        },
      },
      suspended: {
        change: () => staff.suspend(ada),
        curl: (call) => call("PUT", `cloud/users/${ada.subject}/disable`),
      },
    };
    const counts = {} as Record<Case, { pipeline: number; curl: number }>;
    for (const name of CASES) {
      const { change, curl } = steps[name];
      const person = change();
      counts[name] = {
        pipeline: await requestsOf(server, () => bring(person)),
        curl: await requestsOf(server, () => curl?.(loop.call) ?? again(person)),
      };
    }
    await loop.close();
    return counts;
  } finally {
    if (real) await cleanUp(real, staff.subjects, staff.groups);
    await clients.close();
    await embedded.stop();
    await simulated?.close();
    await clavex.close();
  }
}

/** How many HTTP requests leave for the server while something is done. */
async function requestsOf(server: NextcloudServer, work: () => Promise<void>): Promise<number> {
  const { origin } = new URL(server.url);
  let count = 0;
  const listen = (message: unknown): void => {
    if (String((message as { request: { origin: unknown } }).request.origin) === origin) count += 1;
  };
  subscribe("undici:request:create", listen);
  try {
    await work();
  } finally {
    unsubscribe("undici:request:create", listen);
  }
  return count;
}
