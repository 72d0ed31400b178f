import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VERSION } from "../../functions/version.ts";
import { packageManifest } from "../../infra/program.ts";
import packageJson from "../../package.json" with { type: "json" };
import { ANY_PORTS, type Program, ROOT, runNode, runProgram } from "../support/processes.ts";

/** What is needed to make the package, beside node_modules. */
const SOURCES = [
  "package.json",
  "LICENSE",
  "README.md",
  "infra",
  "functions",
  ...packageJson.files.filter((each) => !each.startsWith("dist")),
];

let folder: string;
let repository: string;
let app: string;

/** Runs a program to its end; it has to succeed. */
async function succeed(program: Program): Promise<string> {
  expect(await program.ended, program.output()).toBe(0);
  return program.stdout();
}

/** npm with this process's Node.js, and without a network. */
const npm = (args: string[], cwd: string): Promise<string> =>
  succeed(
    runProgram(
      "npm",
      [...args, "--offline", "--no-audit", "--no-fund", "--cache", join(folder, "cache")],
      { PATH: [dirname(process.execPath), process.env.PATH].join(delimiter), HOME: folder },
      cwd,
    ),
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  // A copy: while npm packs, the manifest is another one.
  repository = join(folder, "repository");
  for (const source of SOURCES) await cp(join(ROOT, source), join(repository, source), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(repository, "node_modules"));
  app = join(folder, "app");
  await mkdir(app);
  await npm(["pack", "--pack-destination", app], repository);
  await npm(["install", "--omit=optional", join(app, `clavex-nextcloud-${VERSION}.tgz`)], app);
});
afterAll(() => rm(folder, { recursive: true }));

describe("the package that npm pack makes, installed into an empty folder", () => {
  const installed = (args: string[], environment: Record<string, string> = {}) =>
    runProgram(
      join(app, "node_modules/.bin/clavex-nextcloud"),
      args,
      { PATH: dirname(process.execPath), ...environment },
      app,
    );

  test("needs no other package, but may bring a Node.js", async () => {
    expect(await readdir(join(app, "node_modules"))).toEqual([".bin", ".package-lock.json", "clavex-nextcloud"]);
    expect(packageManifest(packageJson)).toMatchObject({
      optionalDependencies: { node: packageJson.dependencies.node },
      engines: packageJson.engines,
    });
    expect(packageManifest(packageJson)).not.toHaveProperty("dependencies");
  });

  test("has a bin that runs", async () => {
    expect(await succeed(installed(["--version"]))).toBe(`${VERSION}\n`);
  });

  test("runs the whole pipeline", async () => {
    const program = installed(["start", "--demo", ...ANY_PORTS, "--log-format", "text"], { XDG_RUNTIME_DIR: folder });
    await program.printed(/listening on/);
    program.kill("SIGTERM");
    expect(await program.ended).toBe(0);
  });

  test("leaves the manifest of the repository as it was", async () => {
    const text = (where: string) => readFile(join(where, "package.json"), "utf8");
    expect(await text(repository)).toBe(await text(ROOT));
  });
});

test("the bundled file runs anywhere, with nothing beside it", async () => {
  const alone = join(folder, "alone");
  await mkdir(alone);
  await cp(join(repository, "dist/clavex-nextcloud.mjs"), join(alone, "clavex-nextcloud.mjs"));
  expect(await succeed(runNode(["clavex-nextcloud.mjs", "--version"], {}, alone))).toBe(`${VERSION}\n`);
  const program = runNode(
    ["clavex-nextcloud.mjs", "start", "--demo", ...ANY_PORTS],
    { XDG_RUNTIME_DIR: folder },
    alone,
  );
  await program.printed(/listening on/);
  program.kill("SIGTERM");
  expect(await program.ended).toBe(0);
});

describe("on an older Node.js", () => {
  /** This process's Node.js, which takes itself for an older one. */
  const OLDER =
    "data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.11.1'}})";
  const onOlder = (file: string, args: string[] = []) => runNode(["--import", OLDER, file, ...args], {}, folder);

  test("the repository's program runs with the Node.js that npm has installed", async () => {
    const program = onOlder(join(ROOT, packageJson.bin["clavex-nextcloud"]), ["--version"]);
    expect(await succeed(program)).toBe(`${VERSION}\n`);
  });

  test("where install scripts are off it says in one sentence what is missing", async () => {
    const program = onOlder(join(app, "node_modules/clavex-nextcloud/bin/clavex-nextcloud.mjs"), ["start"]);
    expect(await program.ended).toBe(1);
    expect(program.output()).toMatch(
      /^clavex-nextcloud needs Node\.js 24, .*install script did not run: .*npm rebuild node.*\.\n$/,
    );
  });

  test("the bundled file says so in one sentence", async () => {
    const program = onOlder(join(repository, "dist/clavex-nextcloud.mjs"), ["start"]);
    expect(await program.ended).toBe(1);
    expect(program.output()).toMatch(/^clavex-nextcloud needs Node\.js 24 or later; this is v\d+\.\d+\.\d+\.\n$/);
  });
});
