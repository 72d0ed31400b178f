import { DEFAULT_APP_PASSWORD } from "../functions/simulated/nextcloud.ts";
import type { LoopPerson } from "./loops.ts";
import type { ProfileName } from "./nextcloud-times.ts";
import { type Remote, startProcess } from "./process.ts";
import { cleanUp, type NextcloudServer, realNextcloud } from "./real-nextcloud.ts";
import type { SystemsServices } from "./systems-process.ts";

const GROUPS = 20;
export const GROUPS_EACH = 3;

/** A Clavex full of people, and a Nextcloud that knows none of them. */
export interface BenchSystems {
  clavex: string;
  nextcloud: NextcloudServer;
  people: LoopPerson[];
  process: Remote<SystemsServices>;
}

/**
 * Runs something between the systems, and cleans up after it.
 *
 * @param options which measured server Nextcloud answers like, if it is simulated, and how many times faster
 */
export async function withSystems<T>(
  { profile, scale }: { profile: ProfileName; scale: number },
  people: number,
  run: (systems: BenchSystems) => Promise<T>,
  groupsEach: number = GROUPS_EACH,
): Promise<T> {
  const real = realNextcloud();
  const process = startProcess<SystemsServices>("systems-process.ts");
  try {
    const { clavex, nextcloud: url } = await process.open(profile, scale, real?.url);
    const hired = await process.hire(people, GROUPS, groupsEach);
    const nextcloud = real ?? { url, username: "provisioner", password: DEFAULT_APP_PASSWORD };
    try {
      return await run({ clavex, nextcloud, people: hired, process });
    } finally {
      const groups = new Set(hired.flatMap((person) => person.groups));
      if (real)
        await cleanUp(
          real,
          hired.map(({ subject }) => subject),
          [...groups],
        );
    }
  } finally {
    await process.stop();
  }
}
