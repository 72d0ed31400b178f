import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from "vitest";
import { createProgram, everyCommand } from "../../functions/cli/program.ts";
import { openState } from "../../functions/local/state.ts";
import { DEFAULT_ORGANIZATION, type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import packageJson from "../../package.json" with { type: "json" };
import { blocksBelow, blocksOf, type CommandLine, readByBash, readPage, spansOf } from "../support/page.ts";
import { ROOT, runNode, runProgram, startPipelineProcess } from "../support/processes.ts";
import { runInTerminal } from "../support/terminal.ts";
import occ from "./occ.json" with { type: "json" };

/*
 * Every command line of the pages is accounted for: it is run here, or by another test, or compared with what is known of its program,
 * or it stands below with the reason why no test can run it. A line that nothing accounts for fails.
 */

const PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...globSync("docs/*.md", { cwd: ROOT }).toSorted()];

/** What a span of a page begins with if it is a command line. */
const PROGRAMS = new Set([
  ...["npx", "npm", "node", "clavex-nextcloud", "cdk", "aws", "occ", "clavex", "curl", "git"],
  ...["sudo", "useradd", "install", "cp", "chmod", "chown", "systemctl", "journalctl", "docker"],
]);

/** Lines that no test runs, each with why. What their words name in the repository is looked up all the same. */
const NOT_RUN: [RegExp, string][] = [
  [/^npm ci\b/, "fetches packages; CI begins with it"],
  [/^git pull$/, "there is no other repository"],
  [
    /^npm (?:test|run (?:check|test:core|test:deploy|bench)\b)/,
    "runs tests or measurements: CI does, and bench has tests of its own",
  ],
  [/^vitest run /, "runs tests"],
  [/^(?:npm start|clavex-nextcloud start)$/, "runs until it is stopped: test/cli/start.test.ts"],
  [/^npm run demo$/, "test/e2e/demo.test.ts"],
  [/^npm (?:run build|pack)$/, "test/infra/package.test.ts"],
  [/^node --version$/, "prints a version"],
  [
    /^(?:useradd|install|chmod|cp|cat|journalctl) ?/,
    "needs root, or changes the machine; the wrapper that it makes is run below",
  ],
  [
    /^systemctl (?:start|stop|restart|enable --now|disable --now) clavex-nextcloud$/,
    "needs a running systemd: test/infra/one-machine.test.ts verifies the unit",
  ],
  [/^docker compose up -d$/, "needs a container engine"],
  [/^curl http:\/\/127\.0\.0\.1:8788\/readyz$/, "test/local/admin.test.ts"],
  [/^clavex-nextcloud console --stage prod$/, "test/cli/stage.test.ts, of another stage"],
  [/^clavex-nextcloud COMMAND$/, "a placeholder"],
  [
    /^aws (?:sts get-caller-identity|ssm put-parameter --overwrite|sqs list-queues --queue-name-prefix clavex-nextcloud-prod)$/,
    "AWS's own, without effect or in part",
  ],
  [/^cdk deploy -c stage=prod --import-existing-resources$/, "the emulator makes a kept table anew instead"],
  [/^cdk destroy$/, "a name, not a line"],
  [/^(?:openssl|sed|xargs|node -p) ?/, "part of a line that is run by hand below, or by test/deploy"],
];

/** Of what commands of `clavex-nextcloud` end with something else than 0, what that is. */
const CODES: [RegExp, number][] = [
  // The demo has differences, and nobody is what ID says.
  [/^plan\b/, 2],
  [/^unknown disable /, 1],
];

/** What stands in a page for something that the reader has. */
const STANDS_FOR: Record<string, string> = { O: "acme", N: "1", FILE: "backup.sqlite" };

/** Of each command of `occ`: how many arguments it needs and takes (null: any number), and which options. */
type OccCommands = Record<string, { arguments: [number, number | null]; options: Record<string, "flag" | "value"> }>;

/** Bash 5 has all that reading needs; macOS comes with 3.2. Slim images have no curl. */
const bashVersion = Number(spawnSync("bash", ["-c", "echo $BASH_VERSINFO"], { encoding: "utf8" }).stdout);
const hasCurl = spawnSync("curl", ["--version"]).status === 0;
if (!(bashVersion >= 5 && hasCurl)) console.log("Lines of the pages are left out here: that takes Bash 5 and curl.");

describe.runIf(bashVersion >= 5)("the command lines of the pages", () => {
  let folder: string;
  /** What bash reads in each page. */
  let pages: Map<string, CommandLine[]>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
    // security.md goes on with the function and the variables of connect.md.
    const [byHand] = blocksBelow("docs/connect.md", "By hand");
    const before =
      byHand?.text
        .replaceAll(/\s+# .*$/gm, "")
        .trim()
        .replaceAll("\n", "; ") ?? "";
    const read = async (page: string) =>
      [page, await readByBash(page, { programs: PROGRAMS, before, folder })] as const;
    pages = new Map(await Promise.all(PAGES.map(read)));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** A command line without what it is run by. */
  function wordsOf({ words }: CommandLine): string[] {
    const [first, ...rest] = words;
    if (first === "npx") return rest;
    return first === "sudo" ? rest.slice(2).filter((word, index) => index > 0 || word !== "php") : words;
  }

  /** Every command line of one program in all pages, each once: its arguments, and the first place where it stands. */
  function linesOf(program: string): { args: string[]; at: string }[] {
    const found = new Map<string, { args: string[]; at: string }>();
    for (const [page, lines] of pages)
      for (const line of lines) {
        const [first, ...args] = wordsOf(line);
        const text = args.join(" ");
        if (first === program && !found.has(text)) found.set(text, { args, at: `${page}:${line.line}` });
      }
    return [...found.values()];
  }

  const isNotRun = (words: string[]): boolean => NOT_RUN.some(([line]) => line.test(words.join(" ")));

  /** The lines that test/deploy runs: those below the headings that it names. */
  function deployed(): Set<string> {
    const source = readFileSync(join(ROOT, "test/deploy/deploy.test.ts"), "utf8");
    const lines = new Set<string>();
    for (const page of ["docs/deploy.md", "docs/github-actions.md"])
      for (const line of pages.get(page) ?? [])
        if (source.includes(JSON.stringify(line.heading))) lines.add(wordsOf(line).join(" "));
    return lines;
  }

  test("every command line of the pages is run by a test, or compared with what is known, or says here why not", () => {
    const byDeploy = deployed();
    const isAccountedFor = (page: string, line: CommandLine): boolean => {
      const words = wordsOf(line);
      const [program = ""] = words;
      if (["clavex-nextcloud", "occ"].includes(program) && !words.includes("--stage")) return true;
      if (program === "curl" && /^docs\/(?:connect|security)\.md$/.test(page)) return true;
      return byDeploy.has(words.join(" ")) || isNotRun(words);
    };
    const left = [...pages].flatMap(([page, lines]) =>
      lines
        .filter((line) => !isAccountedFor(page, line))
        .map(({ line, words }) => `${page}:${line} ${words.join(" ")}`),
    );
    expect(left).toEqual([]);
  });

  test("every reason why a line is not run is needed", () => {
    const all = [...pages.values()].flat().map((line) => wordsOf(line).join(" "));
    expect(NOT_RUN.filter(([line]) => !all.some((each) => line.test(each))).map(String)).toEqual([]);
  });

  test("what lines of the pages name in this repository is there", () => {
    const scripts = linesOf("npm").flatMap(({ args: [verb = "", name = ""] }) =>
      verb === "run" ? [name] : ["start", "test"].includes(verb) ? [verb] : [],
    );
    expect(scripts.filter((name) => !(name in packageJson.scripts))).toEqual([]);
    const paths = [...pages.values()]
      .flat()
      .flatMap(({ words }) => words.filter((word) => /^(?:test|deploy)\//.test(word)));
    expect(paths.length).toBeGreaterThan(1);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  /** What is wrong with a line of `occ` on one version of Nextcloud, or undefined. */
  function problemOf([command = "", ...words]: string[], known: OccCommands): string | undefined {
    const definition = known[command];
    if (!definition) return "there is no such command";
    const values: string[] = [];
    for (let index = 0; index < words.length; index += 1) {
      const [option = "", value] = (words[index] ?? "").split(/=(.*)/s);
      if (!option.startsWith("--")) values.push(option);
      else if (!(option in definition.options)) return `there is no option ${option}`;
      else if (definition.options[option] === "flag" && value !== undefined) return `${option} takes no value`;
      else if (definition.options[option] === "value" && value === undefined) index += 1;
    }
    const [least, most] = definition.arguments;
    return values.length < least || values.length > (most ?? Number.POSITIVE_INFINITY)
      ? "a wrong number of arguments"
      : undefined;
  }

  describe("every line for occ", () => {
    /** A page says where it does not work, or nobody could look. */
    const EXCEPT: Record<string, RegExp> = {
      "27.1.10": /^(?:user:auth-tokens:|ldap:)/,
      "29.0.6": /^$/,
      "35.0.0 dev": /^$/,
    };
    /** Of an app that was not there: read in Deck's source, which asks before it begins. */
    const OF_OTHER_APPS = ["deck:transfer-ownership --remap OLD NEW"];
    /** Stands for any command. */
    const ANY = "...";

    it.each(
      Object.entries(occ as unknown as Record<string, OccCommands>),
    )("is one that Nextcloud %s has", (version, known) => {
      const lines = linesOf("occ").filter(({ args }) => ![...OF_OTHER_APPS, ANY].includes(args.join(" ")));
      expect(lines.length).toBeGreaterThan(25);
      const wrong = lines
        .filter(({ args: [command = ""] }) => !EXCEPT[version]?.test(command))
        .map(({ args, at }) => ({ at, line: args.join(" "), problem: problemOf(args, known) }));
      expect(wrong.filter(({ problem }) => problem !== undefined)).toEqual([]);
    });

    it.each(
      Object.entries(occ as unknown as Record<string, OccCommands>),
    )("that the program shows is one that Nextcloud %s has", (version, known) => {
      const shown = globSync("functions/**/*.ts", { cwd: ROOT }).flatMap((file) =>
        Array.from(
          readPage(file).matchAll(/\bocc ([a-z_]+:[a-z:-]+[a-z])((?: --[a-z-]+(?:=\S+)?)*)/g),
          ([, name = "", options = ""]) => ({
            file,
            name,
            options: options
              .split(" ")
              .filter(Boolean)
              .map((each) => each.replace(/[=`].*/, "")),
          }),
        ),
      );
      expect(shown.length).toBeGreaterThan(10);
      const wrong = shown.filter(
        ({ name, options }) =>
          !EXCEPT[version]?.test(name) &&
          (!known[name] || options.some((each) => !(each in (known[name]?.options ?? {})))),
      );
      expect(wrong).toEqual([]);
    });
  });

  describe("every line for clavex-nextcloud", () => {
    let demo: Awaited<ReturnType<typeof startPipelineProcess>>;
    let environment: Record<string, string>;

    beforeAll(async () => {
      environment = { CLAVEX_NEXTCLOUD_STATE: join(folder, "demo") };
      demo = await startPipelineProcess(["--demo", "--first-retry", "0.1"], environment);
    });
    afterAll(async () => {
      demo.kill("SIGTERM");
      await demo.ended;
    });

    /** The options that answer a question, as a person would, and that leave the browser closed. */
    const answersFor = (args: string[]): string[] => {
      const path = args.filter((word) => !word.startsWith("-"));
      const command = everyCommand(createProgram()).findLast((each) => path.includes(each.name()));
      return ["--yes", "--no-open"].filter(
        (option) => !args.includes(option) && command?.options.some(({ long }) => long === option),
      );
    };

    /** Needs another state than the demo's, or something that only the reader has: tests below, and those of the same name. */
    const ELSEWHERE = /^(?:backup|restore|COMMAND|setup --yes --organization)\b/;
    /** Names that stand in a sentence: what they need is said there. */
    const NAMES = ["rehearse", "backup"];

    test("does what the page says, with the demo", async () => {
      const lines = linesOf("clavex-nextcloud").filter(({ args }) => {
        const text = args.join(" ");
        return !(args.includes("--stage") || ELSEWHERE.test(text) || NAMES.includes(text));
      });
      expect(lines.length).toBeGreaterThan(20);
      for (const { args, at } of lines) {
        const line = args.map((word) => STANDS_FOR[word] ?? word);
        const { code, output } = await runInTerminal([...line, ...answersFor(line)], {
          columns: 120,
          environment,
          folder,
        });
        const text = line.join(" ");
        const expected = CODES.find(([each]) => each.test(text))?.[1] ?? 0;
        expect(code, `${at}: ${text}\n${output}`).toBe(expected);
        // The lines after it find a pipeline that works.
        if (text === "pause") await runInTerminal(["resume", "--yes"], { environment, folder });
      }
    });

    test("backup and restore of docs/one-machine.md copy a state there and back", async () => {
      const state = join(folder, "state");
      openState(state).close();
      const lines = linesOf("clavex-nextcloud").filter(({ args }) => /^(?:backup|restore) \//.test(args.join(" ")));
      expect(lines.map(({ args }) => args[0])).toEqual(["backup", "restore"]);
      // The service's user may write there: the page has made that folder for it.
      const made = linesOf("install").filter(({ args }) => args.join(" ").startsWith("-d -o clavex-nextcloud"));
      for (const { args } of lines) expect(made.flatMap((line) => line.args)).toContain(dirname(args[1] ?? ""));
      for (const { args } of lines) {
        const [command = "", file = ""] = args;
        const here = join(folder, basename(file));
        const { code, output } = await runInTerminal([command, here, ...answersFor([command])], {
          environment: { ...environment, CLAVEX_NEXTCLOUD_STATE: state },
        });
        expect(code, output).toBe(0);
      }
    });
  });

  test("what sentences of the pages say of commands and options is so", () => {
    const program = createProgram();
    const all = everyCommand(program);
    const optionsOf = (commands: Command[]) => commands.flatMap(({ options }) => options.map(({ long }) => long ?? ""));
    const ofOthers = new Set([
      ...Object.values(occ).flatMap((commands) =>
        Object.values(commands).flatMap(({ options }) => Object.keys(options)),
      ),
      // Of CDK, AWS and the bench; and two that docs/connect.md says do not exist.
      ...["--help", "--import-existing-resources", "--overwrite", "--profile", "--mapping-displayname", "--pkce"],
    ]);
    const isWrong = (text: string): boolean => {
      // A line of the log, and an option cut short.
      if (text === "unknown accounts" || text.endsWith("-...")) return false;
      const [first = "", second = "", ...rest] = text.split(" ");
      if (/^--[a-z-]+$/.test(first)) return !(ofOthers.has(first) || optionsOf(all).includes(first));
      const command = program.commands.find((each) => each.name() === first);
      if (!command || second === "") return false;
      const below = command.commands.find((each) => each.name() === second);
      if (command.commands.length > 0 && !below && /^[a-z]/.test(second)) return true;
      const options = [second, ...rest].filter((word) => word.startsWith("--")).map((word) => word.split("=")[0] ?? "");
      return options.some((option) => ![...optionsOf([below ?? command]), "--help"].includes(option));
    };
    const wrong = PAGES.flatMap((page) =>
      spansOf(page)
        .filter(({ text }) => isWrong(text))
        .map(({ text, line }) => `${page}:${line} ${text}`),
    );
    expect(wrong).toEqual([]);
  });

  describe("docs/connect.md, with a Clavex and a Nextcloud", () => {
    const PASSWORD = "the-app-password-of-the-provisioner";
    const ADMINISTRATOR = { email: "admin@acme.example", password: "Correct-horse-battery-9" };
    let clavex: SimulatedClavex;
    let nextcloud: SimulatedNextcloud;

    beforeEach(async () => {
      clavex = await startSimulatedClavex({ organizations: [{ ...DEFAULT_ORGANIZATION, apiKey: "" }] });
      clavex.addAdministrator("acme", ADMINISTRATOR);
      nextcloud = await startSimulatedNextcloud({
        credentials: [{ username: "provisioner", password: PASSWORD, backend: "user_oidc" }],
      });
    });
    afterEach(() => Promise.all([clavex.close(), nextcloud.close()]));

    const withOurs = (text: string): string =>
      text.replaceAll("https://id.acme.eu", clavex.url).replaceAll("https://nextcloud.acme.eu", nextcloud.url);

    test("setup without questions does everything", async () => {
      const line = linesOf("clavex-nextcloud").find(({ args }) =>
        args.join(" ").startsWith("setup --yes --organization"),
      );
      const [here, args] = [join(folder, "setup"), line?.args.map(withOurs) ?? []];
      await mkdir(here);
      // Nobody has to answer at the pipeline's address yet, but somewhere it has to be.
      const hooks = args.map((word) => (word === "https://hooks.acme.eu" ? "http://127.0.0.1:9" : word));
      const setup = runNode([join(ROOT, "functions/cli/main.ts"), ...hooks], environmentOfSetup(), here);
      expect(await setup.ended, setup.output()).toBe(0);
      expect(clavex.management("acme").webhooks).toHaveLength(1);
      expect(existsSync(join(here, "organizations/local/acme.json"))).toBe(true);
    });

    const environmentOfSetup = () => ({
      CLAVEX_ADMIN_EMAIL: ADMINISTRATOR.email,
      CLAVEX_ADMIN_PASSWORD: ADMINISTRATOR.password,
      NEXTCLOUD_APP_PASSWORD: PASSWORD,
    });

    test.runIf(hasCurl)("by hand, its lines make in Clavex what setup makes", async () => {
      const script = blocksOf("docs/connect.md")
        .slice(blocksOf("docs/connect.md").findIndex(({ heading }) => heading === "By hand"))
        .filter(({ language }) => language === "sh")
        .map(({ text }) => withOurs(text).replaceAll("-u ADMIN", `-u provisioner:${PASSWORD}`))
        .join("");
      const here = join(folder, "by-hand");
      await mkdir(here);
      // What is typed in: a token, then the login that gives one, the client's secret, and the webhook's.
      const typed = ["no-token-yet", ADMINISTRATOR.email, ADMINISTRATOR.password, "client-secret", "s".repeat(40)];
      await writeFile(join(here, "typed"), typed.map((line) => `${line}\n`).join(""));
      const programs = [
        "exec < typed",
        "occ() { :; }; npx() { :; }",
        // Clavex answers 404 where the page says ID.
        `curl() { command curl -w '%{stderr}%{http_code} %{method} %{url}\\n' "$@"; }`,
        script,
      ];
      const bash = runProgram("bash", ["-euo", "pipefail", "-c", programs.join("\n")], {}, here);
      expect(await bash.ended, bash.output()).toBe(0);
      const refused = bash
        .stderr()
        .split("\n")
        .filter((each) => each !== "" && !/^2\d\d | \S*\/ID\b/.test(each));
      expect(refused).toEqual([]);
      const { clients, mappers, apiKeys, webhooks, sinks } = clavex.management("acme");
      expect(clients).toMatchObject([{ id_token_signed_response_alg: "RS256" }]);
      expect(mappers.map(({ name }) => name).toSorted()).toEqual(["nc-email", "nc-groups", "nc-picture", "nc-quota"]);
      expect(apiKeys).toMatchObject([{ permissions: ["users:read", "groups:read"] }]);
      expect(webhooks).toMatchObject([{ events: ["user.created", "user.updated", "user.deleted"] }]);
      expect(sinks).toMatchObject([{ sink_type: "webhook" }]);
    });
  });

  test("the wrapper of docs/one-machine.md runs a command in the service's folders", async () => {
    const here = join(folder, "wrapper");
    await mkdir(join(here, "etc"), { recursive: true });
    const [block] = blocksBelow("docs/one-machine.md", "From nothing to a service behind TLS");
    const script = (block?.text ?? "")
      .replaceAll("/usr/local/bin/clavex-nextcloud", "wrapper")
      .replaceAll("/etc/clavex-nextcloud", join(here, "etc"))
      .replaceAll("/var/lib/clavex-nextcloud", join(here, "state"))
      .replaceAll("/usr/bin/node", process.execPath)
      .replaceAll("/opt/clavex-nextcloud/clavex-nextcloud.mjs", join(ROOT, "functions/cli/main.ts"))
      .replaceAll("-o clavex-nextcloud -g clavex-nextcloud ", "");
    const made = runProgram("bash", ["-eu", "-c", script], {}, here);
    expect(await made.ended, made.output()).toBe(0);
    const ran = runProgram(join(here, "wrapper"), ["status"], {}, here);
    expect(await ran.ended).toBe(1);
    expect(ran.output()).toContain("organizations");
  });
});
