import { type Clients, createClients } from "../functions/clients.ts";
import { fixedOrganizations } from "../functions/config/organizations.ts";
import { createProbeDelay, createRetryDelay } from "../functions/core/retry.ts";
import { dynamoDbTable } from "../functions/ledger/dynamodb.ts";
import { createLedger } from "../functions/ledger/ledger.ts";
import { createCountFailure } from "../functions/provision/attempts.ts";
import { createGuards } from "../functions/provision/guards.ts";
import { CONTAINER_LIMITS } from "../functions/provision/limits.ts";
import { createProvision } from "../functions/provision/provision.ts";
import { createWorker, type Worker } from "../functions/provision/worker.ts";
import type { Consumer } from "../functions/queue/queue.ts";
import { createSqsQueue } from "../functions/queue/sqs.ts";
import { createFollowGroups } from "../functions/reconcile/group-hints.ts";
import type { Counters } from "../functions/telemetry/metrics.ts";
import { localClients } from "../test/support/embedded.ts";
import { personJob, TRIGGERS } from "../test/support/jobs.ts";
import type { EmbeddedServices } from "./embedded-process.ts";
import type { LoopPerson } from "./loops.ts";
import { benchOrganization, benchSecrets } from "./organization.ts";
import { startProcess } from "./process.ts";
import { NO_COUNTERS, QUIET_LOG } from "./quiet.ts";
import type { NextcloudServer } from "./real-nextcloud.ts";

/** What Lambda hands to one container. */
const BATCH_SIZE = 10;

/** Workers under way: each one connection and four subjects at a time, like a container on Lambda. */
export interface Workers {
  /** Puts a job for each person into the queue. */
  send(people: readonly LoopPerson[]): Promise<void>;
  /** Resolves when every job sent so far has been applied. */
  done(): Promise<void>;
  /** For how long a worker has had a call with Nextcloud so far, in milliseconds, as a mean of all workers. */
  waited(): number;
  stop(): Promise<void>;
}

/** Sets workers on an empty queue, with an empty ledger. */
export async function startWorkers(workers: number, clavex: string, nextcloud: NextcloudServer): Promise<Workers> {
  const embedded = startProcess<EmbeddedServices>("embedded-process.ts");
  const endpoints = await embedded.open();
  const aws = localClients(endpoints);
  const queue = createSqsQueue(aws.sqs, endpoints.queueUrl);
  const ledger = createLedger(dynamoDbTable(aws.dynamodb, endpoints.tableName));
  const organization = benchOrganization({ clavex, nextcloud: nextcloud.url, username: nextcloud.username });

  let [sent, applied] = [0, 0];
  let finish: () => void = () => undefined;
  const counters: Counters = {
    ...NO_COUNTERS,
    count(counter) {
      if (counter === "JobsApplied") applied += 1;
      if (applied === sent) finish();
    },
  };
  const containers = Array.from({ length: workers }, () => {
    const clients = metered(
      createClients({
        secrets: benchSecrets(nextcloud.password),
        nextcloudConnections: CONTAINER_LIMITS.nextcloudConnections,
      }),
    );
    const guards = createGuards({
      organizations: fixedOrganizations([organization]),
      clients,
      ledger,
      breakerDelay: createProbeDelay(),
    });
    const provision = createProvision({ guards, ledger });
    const followGroups = createFollowGroups({ guards, ledger, queue });
    const worker = createWorker({
      provision,
      followGroups,
      countFailure: createCountFailure(fixedOrganizations([organization]), ledger),
      queue,
      retryDelay: createRetryDelay(),
      log: QUIET_LOG,
      counters,
      concurrency: CONTAINER_LIMITS.concurrentSubjects,
    });
    return { clients, batches: startBatches(queue, worker) };
  });
  return {
    async send(people) {
      sent += people.length;
      const jobs = people.map(({ subject }) => personJob(organization.slug, subject, TRIGGERS.reconcile));
      await queue.sendAll(jobs, "bench");
    },
    done() {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (applied === sent) resolve();
      finish = resolve;
      return promise;
    },
    waited: () => containers.reduce((sum, { clients }) => sum + clients.waited(), 0) / workers,
    async stop() {
      await Promise.all(containers.map(({ batches }) => batches.stop()));
      await Promise.all(containers.map(({ clients }) => clients.close()));
      aws.destroy();
      await embedded.stop();
    },
  };
}

/** Hands batches to a worker as Lambda hands them to one container: the next one when the whole batch is done. */
function startBatches(queue: Consumer, worker: Worker): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const { signal } = stopping;
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      const messages = await queue.receive({ most: BATCH_SIZE, waitSeconds: 5, signal });
      const stayed = new Set(await worker(messages, signal));
      await queue.done(messages.filter((message) => !stayed.has(message)));
    }
  };
  const looping = loop();
  return {
    async stop() {
      stopping.abort();
      await looping;
    },
  };
}

/** Clients that know for how long at least one call to Nextcloud was under way, in milliseconds. */
function metered(clients: Clients): Clients & { waited(): number } {
  let [underWay, since, waited] = [0, 0, 0];
  return {
    ...clients,
    waited: () => waited,
    of(organization) {
      const { ocs, ...rest } = clients.of(organization);
      const call: typeof ocs.call = async (...input) => {
        if (underWay === 0) since = performance.now();
        underWay += 1;
        try {
          return await ocs.call(...input);
        } finally {
          underWay -= 1;
          if (underWay === 0) waited += performance.now() - since;
        }
      };
      return { ...rest, ocs: { call } };
    },
  };
}
