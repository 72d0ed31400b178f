import type { Command } from "commander";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProgram, everyCommand } from "../../functions/cli/program.ts";
import { openShowroom, PEOPLE, type Showroom, STRANGER_ID } from "../support/showroom.ts";

/*
 * What every command prints, on terminals of 80 and 200 columns: the files in test/cli/golden. Look at them after a change of
 * the output, and renew them with `npx vitest run test/cli/golden.test.ts -u`.
 *
 * A new command line is one line in COMMANDS (or CHANGES, when it changes something); the help of a new command is in by
 * itself. What the commands find is made in test/support/showroom.ts. A test below holds that no command is missing.
 */

const WIDTHS = [80, 200];

/** Command lines that only read, by the name of their file. */
const COMMANDS: Record<string, string[]> = {
  status: ["status"],
  activity: ["activity"],
  "apply-dry-run": ["apply", "--dry-run"],
  "demo-join-without-a-demo": ["demo", "join"],
  plan: ["plan"],
  "plan-json": ["plan", "--json"],
  "plan-nobody": ["plan", "--organization", "nobody"],
  explain: ["explain", "--user", PEOPLE.mover.email],
  "explain-json": ["explain", "--user", PEOPLE.mover.id, "--json"],
  "explain-nobody": ["explain", "--user", "nobody@acme.example"],
  doctor: ["doctor"],
  rehearse: ["rehearse", "--user", PEOPLE.mover.email],
  "dead-letters-list": ["dead-letters", "list"],
  "dead-letters-show": ["dead-letters", "show"],
  "dead-letters-replay": ["dead-letters", "replay", "--dry-run"],
  "dead-letters-drop": ["dead-letters", "drop", "--dry-run"],
  "dead-letters-of-somebody": ["dead-letters", "list", "--user", PEOPLE.conflict.email.toUpperCase()],
  "dead-letters-of-nobody": ["dead-letters", "list", "--user", "nobody@acme.example"],
  "dead-letters-without-a-match": ["dead-letters", "list", "--reason", "given-up"],
  "dead-letters-json": ["dead-letters", "list", "--json"],
  "provision-nobody": ["provision", "--user", "nobody@acme.example"],
  "send-nobody": ["send", "user.updated", "--user", "nobody@acme.example"],
  "doctor-all": ["doctor", "--all"],
  "console-without-a-pipeline": ["console", "--no-open"],
  "unknown-list": ["unknown", "list"],
  "plan-of-nothing": ["plan", "--organizations", "test/cli/golden"],
};

/** Command lines that change something: each finds the showroom as it is at first. */
const CHANGES: Record<string, string[]> = {
  reconcile: ["reconcile"],
  pause: ["pause", "--yes"],
  "pause-unasked": ["pause"],
  "resume-without-a-pause": ["resume", "--yes"],
  provision: ["provision", "--user", PEOPLE.mover.email],
  "provision-json": ["provision", "--user", PEOPLE.mover.email, "--json"],
  "dead-letters-replay-yes": ["dead-letters", "replay", "--yes"],
  "dead-letters-drop-unasked": ["dead-letters", "drop"],
  "pause-json": ["pause", "--yes", "--json"],
  resume: ["resume", "--dry-run"],
  "apply-unasked": ["apply"],
  "accept-identity": ["accept-identity"],
  "accept-identity-json": ["accept-identity", "--json"],
  "unknown-disable": ["unknown", "disable", STRANGER_ID, "--yes"],
};

let showroom: Showroom;
beforeAll(async () => {
  showroom = await openShowroom();
});
afterAll(() => showroom.close());

/** What a person sees: the command, what it prints, what it says beside it, and how it ended. */
async function shown(room: Showroom, args: string[], columns: number): Promise<string> {
  const { code, stdout, stderr } = await room.run(args, columns);
  const beside = stderr === "" ? "" : `--- stderr\n${stderr}`;
  return `$ clavex-nextcloud ${args.join(" ")}\n${stdout}${beside}--- exit code ${code}\n`;
}

const pathOf = (command: Command): string[] =>
  command.parent === null ? [] : [...pathOf(command.parent), command.name()];
const paths = everyCommand(createProgram()).map(pathOf);

/** These run on, take minutes, or print what is different each time: other tests hold what they print. */
const ELSEWHERE = ["start", "demo", "setup", "backup", "restore"];

it("no command is missing", () => {
  const lines = [...Object.values(COMMANDS), ...Object.values(CHANGES)].map((args) => args.join(" "));
  const leaves = everyCommand(createProgram()).filter(({ commands }) => commands.length === 0);
  const names = leaves
    .map((command) => pathOf(command).join(" "))
    .filter((name) => !ELSEWHERE.includes(name.split(" ")[0] ?? ""));
  expect(names.filter((name) => !lines.some((line) => `${line} `.startsWith(`${name} `)))).toEqual([]);
});

const file = (name: string, columns: number): string => `golden/${name}.${columns}.txt`;

describe.each(WIDTHS)("on a terminal of %i columns", (columns) => {
  it.each(Object.entries(COMMANDS))("%s", async (name, args) => {
    await expect(await shown(showroom, args, columns)).toMatchFileSnapshot(file(name, columns));
  });

  it.each(Object.entries(CHANGES))("%s", async (name, args) => {
    const room = await openShowroom();
    try {
      await expect(await shown(room, args, columns)).toMatchFileSnapshot(file(name, columns));
    } finally {
      await room.close();
    }
  });

  it("the help of every command", async () => {
    const helps: string[] = [];
    for (const path of paths) helps.push(await shown(showroom, [...path, "--help"], columns));
    await expect(helps.join("\n")).toMatchFileSnapshot(file("help", columns));
  });
});
