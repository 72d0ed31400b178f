import { spawn } from "node:child_process";
import { once } from "node:events";
import { Command } from "commander";
import * as z from "zod";
import { createClients } from "../clients.ts";
import { requireOrganizationFiles } from "../config/organizations.ts";
import { findConsole } from "../local/console-file.ts";
import { terminalLog } from "../local/terminal-log.ts";
import { createReconcile } from "../reconcile/reconcile.ts";
import { createDeadLetters } from "../replay/dead-letters.ts";
import { onInterrupt } from "./interrupt.ts";
import { findLocalPipeline } from "./local-pipeline.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { openPipeline } from "./pipeline.ts";
import { uncounted } from "./reconcile.ts";
import { CommandError } from "./report.ts";
import { openSources } from "./sources.ts";
import { complain, print } from "./terminal.ts";

interface Options extends ConnectOptions {
  open: boolean;
}

const CONNECTIONS = 4;
const ANSWER_MS = 5_000;

/** `console`: the operator's pages, of the pipeline that runs here, or of a stage. */
export function consoleCommand(): Command {
  return withConnection(new Command("console"))
    .description("Opens the operator's pages in the browser: status, people, plan, dead letters, activity, checks.")
    .option("--no-open", "only print the link")
    .action((options: Options) => (options.stage === undefined ? openLocal(options) : serveStage(options)));
}

/** The running pipeline serves its own console: this asks it for a link. */
async function openLocal(options: Options): Promise<void> {
  if (options.organizations.named) await requireOrganizationFiles(options.organizations.path);
  const { stateFolder, running } = await findLocalPipeline(options);
  const found = running && (await findConsole(stateFolder));
  if (!found)
    throw new CommandError(
      `no pipeline runs on the state folder ${stateFolder}: start it with "npm start", or name a --stage`,
    );
  const path = await askForLink(found).catch(() => undefined);
  if (path === undefined)
    throw new CommandError(
      `the pipeline gives no link to its console at ${found.url}: is another program on that port?`,
    );
  show(`${found.browserUrl ?? found.url}${path}`, options);
}

async function askForLink({ url, token }: { url: string; token: string }): Promise<string> {
  const answer = await fetch(`${url}/links`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    redirect: "error",
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  return z.object({ path: z.string() }).parse(await answer.json()).path;
}

/** A stage has no console of its own: it is served from here, with the operator's credentials, until Ctrl-C. */
async function serveStage(options: Options): Promise<void> {
  const [{ createAccess, newSecret }, { createConsole }, { createDoctorOptions }, { listen }] = await Promise.all([
    import("../console/access.ts"),
    import("../console/app.ts"),
    import("./console-pages.ts"),
    import("../local/web.ts"),
  ]);
  const sources = await openSources(options);
  const pipeline = await openPipeline(options);
  const clients = createClients({ secrets: sources.secrets, nextcloudConnections: CONNECTIONS });
  const interrupt = onInterrupt();
  try {
    const { parts, stopped, startsPaused = false } = pipeline;
    if (!parts) throw stopped?.error;
    const { organizations } = sources;
    const log = terminalLog(complain);
    const access = createAccess(newSecret());
    const shared = { ...parts, organizations, clients, startsPaused, log };
    const pages = createConsole(
      {
        ...shared,
        reconcile: createReconcile({ ...shared, counters: uncounted }),
        deadLetters: createDeadLetters({ ...parts, slugs: organizations.slugs }),
        doctorOptions: createDoctorOptions(sources, () => pipeline),
        stage: options.stage,
      },
      { access },
    );
    const web = await listen({ fetch: pages.fetch, host: "127.0.0.1", port: 0 });
    show(`${web.url}/?token=${access.invite()}`, options);
    complain("It runs until Ctrl-C.");
    if (!interrupt.signal.aborted) await once(interrupt.signal, "abort");
    await web.close();
  } finally {
    interrupt.end();
    await clients.close();
    await pipeline.close();
    await sources.close();
  }
}

/** The link is valid for one visit: it is useless to anyone who sees it later in a process list or a history. */
function show(url: string, { open }: Options): void {
  print(url);
  const program = open && process.stdout.isTTY ? opener() : undefined;
  if (program === undefined) return;
  const child = spawn(program[0], [...program.slice(1), url], { stdio: "ignore", detached: true });
  child.on("error", () => complain("No browser could be opened: open the link yourself."));
  child.unref();
}

/** What opens an address in the browser; undefined where there is no screen. */
function opener(): [string, ...string[]] | undefined {
  if (process.platform === "darwin") return ["open"];
  if (process.platform === "win32") return ["rundll32", "url.dll,FileProtocolHandler"];
  return process.env.DISPLAY || process.env.WAYLAND_DISPLAY ? ["xdg-open"] : undefined;
}
