import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endWith, Interrupted } from "../../functions/cli/report.ts";
import { openShowroom, PEOPLE, type Showroom } from "../support/showroom.ts";

describe("the exit code of a command says how it ended", () => {
  let showroom: Showroom;
  let crowded: Showroom;
  beforeAll(async () => {
    [showroom, crowded] = await Promise.all([openShowroom(), openShowroom({ leavers: 6 })]);
  });
  afterAll(() => Promise.all([showroom.close(), crowded.close()]));

  it.each<[code: number, why: string, args: string[]]>([
    [0, "it is done", ["explain", "--user", PEOPLE.mover.email]],
    [0, "nothing was found", ["dead-letters", "list", "--reason", "given-up"]],
    [0, "the help was asked for", ["plan", "--help"]],
    [0, "the version was asked for", ["--version"]],
    [1, "there is no such organization", ["plan", "--organization", "nobody"]],
    [1, "there is no such person", ["explain", "--user", "nobody@acme.example"]],
    [1, "there is no such option", ["plan", "--everything"]],
    [1, "there is no such command", ["everything"]],
    [1, "an option has no value", ["explain", "--user"]],
    [1, "an option has a wrong value", ["dead-letters", "list", "--since", "yesterday"]],
    [1, "a check fails", ["doctor"]],
    [1, "a question needs an answer, and nobody can be asked", ["dead-letters", "drop"]],
    [1, "there is no such file", ["send", "user.created", "--file", "/nowhere/delivery.json"]],
    [1, "an address is none", ["send", "user.created", "--url", "example.org"]],
    [1, "an address cannot be posted to", ["send", "user.created", "--url", "ftp://example.org"]],
    [1, "nobody listens at an address", ["send", "user.created", "--url", "http://127.0.0.1:1/"]],
    [1, "an argument is empty", ["unknown", "disable", ""]],
    [1, "a folder is none", ["plan", "--organizations", "package.json"]],
    [1, "a file is no copy", ["restore", "package.json", "--yes"]],
    [1, "a folder is no copy", ["restore", ".", "--yes"]],
    [1, "a copy cannot be a folder", ["backup", "."]],
    [1, "a file is no state folder", ["status", "--state", "package.json"]],
    [1, "demo has no such command", ["demo", "joim"]],
    [1, "there is no such copy", ["restore", "/nowhere/copy.sqlite", "--yes"]],
    [2, "there are differences", ["plan"]],
    [2, "there are dead letters", ["dead-letters", "list"]],
  ])("%i: %s", async (code, _why, args) => {
    const ended = await showroom.run(args, 80);
    expect(ended.code, ended.stderr).toBe(code);
    expect(ended.stdout + ended.stderr, "nothing that can be foreseen has a stack trace").not.toMatch(/^\s+at /m);
    if (code === 1) expect(ended.stdout + ended.stderr).not.toBe("");
  });

  it("3: the brake holds people", async () => {
    const { code, stdout } = await crowded.run(["reconcile"], 80);
    expect(stdout).toContain("held: 7 people would lose access");
    expect(code).toBe(3);
  });

  it("130: Ctrl-C", () => {
    const before = process.exitCode;
    endWith(new Interrupted());
    const code = process.exitCode;
    process.exitCode = before;
    expect(code).toBe(130);
  });
});
