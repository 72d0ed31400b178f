import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { makeStateFolder } from "../database.ts";
import { writeOwnFile } from "../folders.ts";

const consoleSchema = z.object({
  /** Where this machine reaches the admin port. */
  url: z.string(),
  /** Where browsers reach it, if that is another address. */
  browserUrl: z.string().optional(),
  /** Lets a program ask for links to it. */
  token: z.string(),
});

/** How to ask a running pipeline for a link to its console. The file is its user's alone. */
export type ConsoleFile = z.output<typeof consoleSchema>;

const CONSOLE_FILE = "console.json";

export async function rememberConsole(stateFolder: string, content: ConsoleFile): Promise<void> {
  makeStateFolder(stateFolder);
  await writeOwnFile(join(stateFolder, CONSOLE_FILE), JSON.stringify(content));
}

export async function forgetConsole(stateFolder: string): Promise<void> {
  await rm(join(stateFolder, CONSOLE_FILE), { force: true });
}

/** What the pipeline that runs on this state folder wrote down, or undefined: it has no admin port, or is about to start. */
export async function findConsole(stateFolder: string): Promise<ConsoleFile | undefined> {
  const text = await readFile(join(stateFolder, CONSOLE_FILE), "utf8").catch(() => undefined);
  return text === undefined ? undefined : consoleSchema.parse(JSON.parse(text));
}
