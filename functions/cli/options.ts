import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { parseEnvironmentFile } from "../config/environment.ts";
import { UNREADABLE_FILE } from "../config/organizations.ts";
import { isSystemError, systemWords } from "../system-errors.ts";
import { CommandError } from "./report.ts";
import { speakOfStage } from "./terminal.ts";

/** Where a local pipeline keeps its configuration and state; named as for `npm start`. */
export interface LocalOptions {
  organizations: Folder;
  state: Folder;
}

/** A folder, and whether somebody has named it, as an option or in the environment: nothing else stands in for it then. */
export interface Folder {
  path: string;
  named: boolean;
}

function named(path: string): Folder {
  if (path === "") throw new InvalidArgumentError("must name a folder");
  return { path, named: true };
}

const usual = (path: string): [Folder, string] => [{ path, named: false }, JSON.stringify(path)];

export const organizationsOption = (): Option =>
  new Option("--organizations <folder>", "folder with one JSON file per organization")
    .env("CLAVEX_NEXTCLOUD_ORGANIZATIONS")
    .argParser(named)
    .default(...usual("organizations/local"));

export const stateOption = (): Option =>
  new Option("--state <folder>", "where queue and ledger are kept")
    .env("CLAVEX_NEXTCLOUD_STATE")
    .argParser(named)
    .default(...usual(".local"));

/** The state folder as part of a sentence about what runs on it, where somebody has named it. */
export function withState({ state }: Pick<LocalOptions, "state">): string {
  return state.named ? ` on the state folder ${state.path}` : "";
}

/** Which pipeline a command works on: a stage on AWS, or the one on this machine. */
export interface ConnectOptions extends LocalOptions {
  stage?: string;
}

/** Adds `--stage`, `--organizations` and `--state` to a command. */
export function withConnection(command: Command): Command {
  return command
    .option("--stage <name>", "work on this stage on AWS, instead of on the pipeline on this machine")
    .hook("preAction", (_command, action) => speakOfStage(action.opts<{ stage?: string }>().stage))
    .addOption(organizationsOption())
    .addOption(stateOption());
}

/** An option that is a time, in milliseconds since the epoch. */
export function parseTime(text: string): number {
  const milliseconds = Date.parse(text);
  if (Number.isNaN(milliseconds)) throw new InvalidArgumentError("must be a time such as 2026-11-23T08:00Z");
  return milliseconds;
}

/** An option that says how many. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count > 0) return count;
  throw new InvalidArgumentError("must be a number from 1 upwards");
}

/** An option that is the address of a page. */
export function parseUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new InvalidArgumentError("must be a URL that begins with https:// or http://");
}

/**
 * Reads secrets that were put into `.env` in this folder, as `npm start` does; existing values are kept.
 *
 * @throws {CommandError} when it exists and cannot be read
 */
export function loadEnvironmentFile(path = ".env", environment: NodeJS.ProcessEnv = process.env): void {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === "ENOENT") return;
    throw new CommandError(`${path}: cannot be read (${systemWords(error)})`, UNREADABLE_FILE);
  }
  for (const [name, value] of Object.entries(parseEnvironmentFile(text))) environment[name] ??= value;
}
