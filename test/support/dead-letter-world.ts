import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sign } from "../../functions/clavex/signature.ts";
import {
  type ClavexUser,
  type NewUser,
  type SimulatedClavex,
  startSimulatedClavex,
} from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { startPipelineProcess, WORKING_FOLDER } from "./processes.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ORGANIZATION = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const SECRET = "00112233445566778899aabbccddeeff".repeat(2);
const API_KEY = "clv_test";
export const SLUG = "acme";

/** How a command of the CLI ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `clavex-nextcloud` as a process of its own, without a terminal. */
export function runCli(args: string[], environment: Record<string, string> = {}): Promise<Ended> {
  const env = { PATH: process.env.PATH ?? "", NO_COLOR: "1", ...environment };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(ROOT, "functions/cli/main.ts"), ...args],
      { cwd: WORKING_FOLDER, env },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

/** One organization between simulated systems, `npm start` and the CLI as processes, and what an operator does with them. */
export interface OperatorWorld {
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  /** Adds a person to Clavex. */
  person(fields?: Partial<NewUser>): ClavexUser;
  accountId(person: { id: string }): string;
  /** Starts `npm start`; failed jobs are tried again after about a second. */
  start(...args: string[]): Promise<Pipeline>;
  /** Runs `clavex-nextcloud` with these arguments on the world's folders. */
  cli(...args: string[]): Promise<Ended>;
  /** Writes the organization's file anew. */
  configure(changes: Record<string, unknown>): Promise<void>;
  /** Deletes an account as a Nextcloud administrator would. */
  deleteAccount(id: string): Promise<void>;
  close(): Promise<void>;
}

/** A running `npm start`. */
export interface Pipeline extends Awaited<ReturnType<typeof startPipelineProcess>> {
  /** Posts a signed delivery about a person as they are now; returns the HTTP status. */
  deliver(event: string, person: ClavexUser): Promise<number>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts the simulated systems; the caller has to close the world, which ends every process that it started. */
export async function newOperatorWorld(): Promise<OperatorWorld> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const place = ["--organizations", folder, "--state", join(folder, "state")];
  const clavex = await startSimulatedClavex({ organizations: [{ id: ORGANIZATION, slug: SLUG, apiKey: API_KEY }] });
  const nextcloud = await startSimulatedNextcloud();
  const environment = { WEBHOOK: SECRET, KEY: API_KEY, PASSWORD: nextcloud.password };
  const running = new Set<Pipeline>();

  async function configure(changes: Record<string, unknown>): Promise<void> {
    const organization = {
      slug: SLUG,
      organizationId: ORGANIZATION,
      clavex: { baseUrl: clavex.url, webhookSecrets: ["env:WEBHOOK"], apiKey: "env:KEY" },
      nextcloud: { baseUrl: nextcloud.url, username: nextcloud.username, password: "env:PASSWORD" },
      identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
      ...changes,
    };
    await writeFile(join(folder, `${SLUG}.json`), JSON.stringify(organization));
  }
  await configure({});

  return {
    clavex,
    nextcloud,
    configure,
    person(fields = {}) {
      const id = randomUUID();
      return clavex.addUser(SLUG, {
        id,
        email: `${id}@acme.example`,
        first_name: "Ada",
        last_name: "Lovelace",
        ...fields,
      });
    },
    accountId: ({ id }) => createHash("sha256").update(`1_0_${id}`).digest("hex"),
    async start(...args) {
      const program = await startPipelineProcess([...place, "--first-retry", "0.1", ...args], environment);
      const pipeline: Pipeline = {
        ...program,
        async deliver(event, person) {
          const body = JSON.stringify(clavex.delivery(event, person));
          const headers = { "x-clavex-signature": sign(body, SECRET), "content-type": "application/json" };
          const answer = await fetch(`${program.url}/webhooks/clavex/${SLUG}`, { method: "POST", headers, body });
          await answer.text();
          return answer.status;
        },
        async stop(signal = "SIGTERM") {
          program.kill(signal);
          await program.ended;
          running.delete(pipeline);
        },
      };
      running.add(pipeline);
      return pipeline;
    },
    cli: (...args) => runCli([...args, ...place], environment),
    async deleteAccount(id) {
      const credentials = btoa(`${nextcloud.username}:${nextcloud.password}`);
      const headers = { "ocs-apirequest": "true", authorization: `Basic ${credentials}` };
      const answer = await fetch(`${nextcloud.url}/ocs/v2.php/cloud/users/${id}?format=json`, {
        method: "DELETE",
        headers,
      });
      if (!answer.ok) throw new Error(`the account was not deleted: ${await answer.text()}`);
    },
    async close() {
      for (const pipeline of running) await pipeline.stop("SIGKILL");
      await clavex.close();
      await nextcloud.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Asks again and again until it is as wanted; the test's own timeout is the limit. */
export async function until<T>(ask: () => T | Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (wanted(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
