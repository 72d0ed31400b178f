import type { Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import { createContext, type DoctorContext } from "../doctor/context.ts";
import { examineServers } from "../doctor/servers.ts";
import type { Log } from "../telemetry/log.ts";
import { problemOf } from "../telemetry/problem.ts";
import { doctorOptions } from "./doctor-options.ts";

/** Checks the servers of all organizations in the background: an unreachable server holds up nothing. */
export interface StartChecks {
  /** Starts the checks; each problem becomes a log line with what to do, and so does their absence. */
  run(): void;
  /** Aborts checks that are still running. */
  stop(): Promise<void>;
}

export function startChecks(dependencies: { organizations: Organizations; secrets: Secrets; log: Log }): StartChecks {
  const { organizations, secrets, log } = dependencies;
  const open = new Set<DoctorContext>();
  const underWay = new Set<Promise<void>>();
  let stopped = false;

  async function look(slug: string): Promise<void> {
    const organization = await organizations.get(slug).catch(() => undefined);
    if (!organization || stopped) return;
    const nowhere = { parts: undefined, close: async () => undefined };
    const context = createContext(await doctorOptions(organization, [], secrets, nowhere, undefined));
    open.add(context);
    try {
      const results = await examineServers(context);
      if (stopped) return;
      const wrong = results.filter(({ status }) => status === "fail" || status === "warn");
      for (const { id, cause, fix } of wrong) log.warn(cause ?? id, { organization: slug, check: id, fix });
      if (wrong.length === 0) log.info("Clavex and Nextcloud answer", { organization: slug });
    } catch (error) {
      if (!stopped) log.error("check failed", { organization: slug, ...problemOf(error) });
    } finally {
      open.delete(context);
      await context.close();
    }
  }

  return {
    run() {
      const one = organizations.slugs().then(async (slugs) => void (await Promise.all(slugs.map(look))));
      underWay.add(one);
      void one.finally(() => underWay.delete(one));
    },
    async stop() {
      stopped = true;
      await Promise.all([...open].map((context) => context.close()));
      await Promise.all(underWay);
    },
  };
}
