import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClavexUser, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { apiKeyOf, documentOf, environmentOf, organizationOf } from "../core/organization.ts";
import { createPeople, type People } from "./people.ts";
import { type Program, ROOT, startPipelineProcess } from "./processes.ts";
import { openTerminal, type Terminal } from "./pseudo-terminal.ts";
import { signed } from "./requests.ts";
import { type Ran, runInTerminal } from "./terminal.ts";

/** An organization with its file and its state folder, for programs that are run as processes of their own. */
export interface Office extends People {
  readonly slug: string;
  readonly clavex: SimulatedClavex;
  readonly nextcloud: SimulatedNextcloud;
  readonly stateFolder: string;
  /** Rewrites the organization's file; what is not chosen has its default. */
  configure(choices: Record<string, unknown>): Promise<void>;
  /** Adds the file of another organization of these servers, without an API key. */
  addFile(slug: string, document: Record<string, unknown>): Promise<void>;
  /** `npm start` with this organization, and with further options; failed jobs are tried again after a second or less. */
  start(...options: string[]): Promise<OfficePipeline>;
  /** Ends what `start` began, in good order. */
  stop(): Promise<void>;
  /** Runs a command of `clavex-nextcloud` on these folders, in this process: no program has to start for it. */
  command(...args: string[]): Promise<Ran>;
  /** The same on a terminal of 200 columns. */
  here(...args: string[]): Promise<Ran>;
  /** Runs it in a terminal of its own, which can be answered; closed with the office. */
  terminal(...args: string[]): Terminal;
  /** Kills what still runs, and removes the folders. */
  close(): Promise<void>;
}

/** A running `npm start`. */
export interface OfficePipeline extends Program {
  url: string;
  adminUrl: string;
  /** Posts a signed body to the webhook endpoint; returns the HTTP status. */
  post(body: string): Promise<number>;
  /** Posts a delivery about a person as they are given. */
  deliver(event: string, person: ClavexUser): Promise<number>;
}

const SLUG = "acme";
/** The last line of what a start finds when it looks at both servers; its requests are not what a test is about. */
const CHECKED = / organization=acme(?: check=.*)?$/m;

/** Opens an office; `choices` are those of `configure`. With an empty skeleton all that differs can be written. */
export async function openOffice(
  choices: Record<string, unknown> = {},
  { skeleton = "default" }: { skeleton?: "default" | "empty" } = {},
): Promise<Office> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const organizationId = randomUUID();
  const clavex = await startSimulatedClavex({
    organizations: [{ id: organizationId, slug: SLUG, apiKey: apiKeyOf(SLUG) }],
  });
  const nextcloud = await startSimulatedNextcloud(skeleton === "empty" ? { skeleton: {} } : {});
  const servers = { clavex, nextcloud };
  const { identity } = organizationOf();
  const environment = environmentOf(nextcloud.password, SLUG);
  const [organizationsFolder, stateFolder] = [join(folder, "organizations"), join(folder, "state")];
  const places = ["--organizations", organizationsFolder, "--state", stateFolder];
  const running = new Set<Program>();
  const terminals: Terminal[] = [];
  await mkdir(organizationsFolder);

  const write = (slug: string, document: object): Promise<void> =>
    writeFile(join(organizationsFolder, `${slug}.json`), JSON.stringify(document));
  async function end(signal: NodeJS.Signals): Promise<void> {
    for (const program of running) {
      program.kill(signal);
      await program.ended;
    }
    running.clear();
  }
  const office: Office = {
    slug: SLUG,
    clavex,
    nextcloud,
    stateFolder,
    ...createPeople({ slug: SLUG, clavex, nextcloud, identity: () => identity }),
    configure: (changed) =>
      write(SLUG, { ...documentOf({ slug: SLUG, organizationId, skeleton }, servers), ...changed }),
    // Two organizations may have one provider only with an API key each.
    addFile: (slug, document) =>
      write(slug, {
        ...documentOf({ slug, apiKey: false, identity: { scheme: "user_oidc", providerId: 9 } }, servers),
        ...document,
      }),
    async start(...options) {
      const program = await startPipelineProcess([...places, "--first-retry", "0.1", ...options], environment);
      running.add(program);
      await program.printed(CHECKED);
      for (const { requests } of [clavex, nextcloud]) requests.length = 0;
      const post = async (body: string): Promise<number> => {
        const answer = await fetch(`${program.url}/webhooks/clavex/${SLUG}`, signed(body));
        await answer.text();
        return answer.status;
      };
      return {
        ...program,
        post,
        deliver: (event, person) => post(JSON.stringify(clavex.delivery(event, person))),
      };
    },
    stop: () => end("SIGTERM"),
    command: (...args) => runInTerminal([...args, ...places], { environment }),
    here: (...args) => runInTerminal([...args, ...places], { columns: 200, environment }),
    terminal(...args) {
      const command = [process.execPath, join(ROOT, "functions/cli/main.ts"), ...args, ...places];
      const terminal = openTerminal(command, { folder, environment });
      terminals.push(terminal);
      return terminal;
    },
    async close() {
      for (const terminal of terminals) await terminal.close();
      await end("SIGKILL");
      await Promise.all([clavex.close(), nextcloud.close()]);
      await rm(folder, { recursive: true });
    },
  };
  await office.configure(choices);
  return office;
}
