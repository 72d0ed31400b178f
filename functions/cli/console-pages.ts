import type { Hono } from "hono";
import type { Organizations } from "../config/organizations.ts";
import type { Secrets } from "../config/secrets.ts";
import { createAccess, newSecret } from "../console/access.ts";
import { createConsole } from "../console/app.ts";
import type { Organization } from "../core/organization.ts";
import type { DoctorOptions } from "../doctor/context.ts";
import { rememberConsole } from "../local/console-file.ts";
import type { Pipeline, PipelineParts } from "../local/pipeline.ts";
import type { Running } from "../local/running.ts";
import { createDeadLetters } from "../replay/dead-letters.ts";
import { doctorOptions, usableOrganizations } from "./doctor-options.ts";
import type { OpenPipeline } from "./pipeline.ts";

/** How doctor is run for an organization of these, with what is open already. */
export function createDoctorOptions(
  { organizations, secrets }: { organizations: Organizations; secrets: Secrets },
  pipeline: () => OpenPipeline,
): (organization: Organization) => Promise<DoctorOptions> {
  return async (organization) =>
    doctorOptions(
      organization,
      await usableOrganizations(organizations, organization.slug),
      secrets,
      pipeline(),
      undefined,
    );
}

export interface PipelineConsoleOptions {
  stateFolder: string;
  adminHost: string;
  /** Where browsers reach it through a proxy. */
  browserUrl: string | undefined;
  demo?: Running["demo"];
}

/** The console of a pipeline that runs in this process. */
export interface PipelineConsole {
  create(parts: PipelineParts): Hono;
  /** Writes down, for this user alone, how to ask for a link to it. */
  remember(pipeline: Pick<Pipeline, "url" | "adminUrl">): Promise<void>;
}

export function createPipelineConsole(options: PipelineConsoleOptions): PipelineConsole {
  const { stateFolder, adminHost, browserUrl, demo } = options;
  const token = newSecret();
  const access = createAccess(token);
  let view: OpenPipeline = { parts: undefined, close: async () => undefined };
  return {
    create(parts) {
      const { organizations, ledger, queue, deadLetterQueue, activities } = parts;
      view = { ...view, parts: { queue, deadLetterQueue, ledger, activities } };
      const dependencies = {
        ...parts,
        deadLetters: createDeadLetters({ ledger, queue, deadLetterQueue, slugs: organizations.slugs }),
        doctorOptions: createDoctorOptions(parts, () => view),
        startsPaused: false,
        stage: undefined,
      };
      return createConsole(dependencies, { access, hosts: [adminHost], browserUrl });
    },
    async remember({ url, adminUrl }) {
      const running: Running = { url, ...(demo ? { demo } : {}) };
      view = { ...view, running, webhookBaseUrl: `${url}/webhooks/clavex` };
      if (adminUrl === undefined) return;
      await rememberConsole(stateFolder, { url: adminUrl, token, ...(browserUrl === undefined ? {} : { browserUrl }) });
    },
  };
}
