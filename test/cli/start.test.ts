import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sign } from "../../functions/clavex/signature.ts";
import { openState } from "../../functions/local/state.ts";
import { openOffice } from "../support/office.ts";
import { ANY_PORTS, type Program, ROOT, run, runProgram, until } from "../support/processes.ts";

const MAIN = "functions/cli/main.ts";
const SECRET = "a-webhook-secret-that-protects-nothing";
const ENVIRONMENT = { SECRET, KEY: "clv", PASSWORD: "p" };
/** Nothing is reconciled. */
const QUIET = {
  CLAVEX_NEXTCLOUD_WATCH_SECONDS: "0",
  CLAVEX_NEXTCLOUD_LIGHT_MINUTES: "0",
  CLAVEX_NEXTCLOUD_FULL_HOURS: "0",
};
const ORGANIZATION_ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";

let folder: string;
let organizations: string;
const programs: Program[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  organizations = join(folder, "organizations");
});
afterEach(async () => {
  for (const program of programs.splice(0)) {
    program.kill("SIGKILL");
    await program.ended;
  }
  await rm(folder, { recursive: true });
});

/** Both servers are away. */
const documentOf = (slug: string) => ({
  slug,
  organizationId: slug === "acme" ? ORGANIZATION_ID : randomUUID(),
  clavex: { baseUrl: "http://127.0.0.1:9", webhookSecrets: ["env:SECRET"], apiKey: "env:KEY" },
  nextcloud: { baseUrl: `http://127.0.0.1:9/${slug}`, username: "provisioner", password: "env:PASSWORD" },
  identity: { providerId: 1 },
});

async function configure(documents: Record<string, object | string>): Promise<void> {
  await mkdir(organizations, { recursive: true });
  for (const [name, document] of Object.entries(documents)) {
    const text = typeof document === "string" ? document : JSON.stringify(document);
    await writeFile(join(organizations, `${name}.json`), text);
  }
}

/** `start` in this test's folder, without a terminal; it has not listened yet. */
function start(args: string[] = [], environment: Record<string, string> = ENVIRONMENT): Program {
  const own = [...ANY_PORTS, "--log-format", "text", "--state", join(folder, "state")];
  const program = run(MAIN, ["start", ...own, ...args], { ...QUIET, XDG_RUNTIME_DIR: folder, ...environment }, folder);
  programs.push(program);
  return program;
}

const startConfigured = (environment?: Record<string, string>): Program =>
  start(["--organizations", organizations], environment);

/** What a start that cannot work prints before it ends. */
async function refusal(program: Program): Promise<string> {
  expect(await program.ended).toBe(1);
  expect(program.output()).not.toMatch(/listening| {4}at /);
  return program.output();
}

const urlOf = async (program: Program): Promise<string> =>
  (await program.printed(/\blistening on (http:[^\s"]+)/))[1] ?? "";

/** What `start` has printed when it listens and was then stopped. */
async function outputOf(program: Program): Promise<string[]> {
  await urlOf(program);
  program.kill("SIGTERM");
  expect(await program.ended).toBe(0);
  return program.output().trimEnd().split("\n");
}

/** A signed delivery of an event that is ignored; returns the status. */
async function deliver(url: string, slug = "acme", secret = SECRET): Promise<number> {
  const body = JSON.stringify({
    id: randomUUID(),
    event: "role.created",
    occurred_at: new Date().toISOString(),
    data: { org_id: ORGANIZATION_ID },
  });
  const headers = { "x-clavex-signature": sign(body, secret) };
  return (await fetch(`${url}/webhooks/clavex/${slug}`, { method: "POST", headers, body })).status;
}

describe("a start where nothing can work ends with 1 and says why", () => {
  const NO_FOLDER = /organizations: there is no such folder\nName the right folder with --organizations, /;

  test("a named folder that is missing", async () => {
    expect(await refusal(startConfigured())).toMatch(NO_FOLDER);
    expect(existsSync(join(folder, "state"))).toBe(false);
  });

  test("a folder that is missing and named by the environment", async () => {
    const program = start([], { CLAVEX_NEXTCLOUD_ORGANIZATIONS: organizations });
    expect(await refusal(program)).toMatch(NO_FOLDER);
  });

  test("a named folder that is empty", async () => {
    await configure({});
    expect(await refusal(startConfigured())).toMatch(
      /organizations: there are no organization files \(\*\.json\)\nName the right folder with --organizations, /,
    );
  });

  test("an empty folder in the usual place, which somebody has made for a purpose", async () => {
    await mkdir(join(folder, "organizations/local"), { recursive: true });
    expect(await refusal(start())).toMatch(/^organizations\/local: there are no organization files/);
  });

  test("a file in place of the folder", async () => {
    await writeFile(organizations, "");
    expect(await refusal(startConfigured())).toMatch(
      /organizations: cannot be read \(a part of the path is not a folder, ENOTDIR\)/,
    );
  });

  test("no document that is right", async () => {
    await configure({ acme: "{" });
    expect(await refusal(startConfigured())).toContain("acme.json: is not JSON");
  });

  test("no organization whose secrets are there: one line each, with the fix", async () => {
    await configure({ acme: documentOf("acme"), beta: documentOf("beta") });
    const lines = (await refusal(startConfigured({ SECRET, PASSWORD: "" }))).split("\n");
    for (const slug of ["acme", "beta"]) {
      for (const line of [
        "clavex.apiKey: secret env:KEY cannot be read from the environment variable KEY: it is not set. Write KEY=... into .env",
        "nextcloud.password: secret env:PASSWORD cannot be read from the environment variable PASSWORD: it is empty. Write PASSWORD=... into .env",
      ])
        expect(lines).toContainEqual(expect.stringContaining(`${slug}.json: ${line}`));
    }
  });
});

describe("a start goes on", () => {
  test("where one organization's document is wrong, and says what is", async () => {
    await configure({ acme: documentOf("acme"), beta: { ...documentOf("beta"), colour: "red" } });
    const lines = (await outputOf(startConfigured())).join("\n");
    expect(lines).toContain('beta.json: unknown key "colour": remove it');
    expect(lines).toContain("webhook of acme: ");
    expect(lines).not.toContain("webhook of beta: ");
  });

  test("where one organization's secret is missing, and says what to do", async () => {
    const beta = { ...documentOf("beta"), nextcloud: { ...documentOf("beta").nextcloud, password: "env:OTHER" } };
    await configure({ acme: documentOf("acme"), beta });
    expect((await outputOf(startConfigured())).join("\n")).toMatch(
      /beta\.json: nextcloud\.password: secret env:OTHER .*: it is not set\. Write OTHER=\.\.\. into \.env/,
    );
  });

  test("where Clavex and Nextcloud are merely away, and says so of each", async () => {
    await configure({ acme: documentOf("acme") });
    const program = startConfigured();
    const url = await urlOf(program);
    await program.printed(/Clavex cannot be reached \(ECONNREFUSED\) organization=acme check=clavex\.reachable fix=/);
    await program.printed(
      /Nextcloud cannot be reached \(ECONNREFUSED\) organization=acme check=nextcloud\.reachable fix=/,
    );
    expect(await deliver(url)).toBe(202);
  });

  test("without webhook secrets, where reconciliation alone does the work", async () => {
    const { clavex, ...rest } = documentOf("acme");
    await configure({ acme: { ...rest, clavex: { ...clavex, webhookSecrets: [] } } });
    const program = startConfigured();
    const url = await urlOf(program);
    expect(await deliver(url)).toBe(401);
    expect(program.output()).toContain("acme: no webhook, reconciliation does the work");
  });
});

test("a start looks at Clavex and Nextcloud, and says what is wrong with the fix", async () => {
  const office = await openOffice();
  try {
    await office.start();
    await office.stop();
    await office.configure({
      nextcloud: { baseUrl: office.nextcloud.url, username: "provisioner", password: "env:WEBHOOK_SECRET" },
    });
    const date = new Date(Date.now() - 40 * 24 * 60 * 60_000).toUTCString();
    office.clavex.faults.add({
      kind: "changed",
      change: (answer) => ({ ...answer, headers: { ...answer.headers, date } }),
    });
    const program = await office.start();
    await program.printed(/Clavex's clock is 40 days behind this machine's; .* check=clavex\.clock fix="Let Clavex/);
    await program.printed(
      /refuses the user name or app password \(HTTP 401\) organization=acme check=nextcloud\.app-password fix="Make a new/,
    );
  } finally {
    await office.close();
  }
});

describe("the demo runs", () => {
  test("when no folder was named and none is there; nothing is left of it", async () => {
    const lines = await outputOf(start());
    expect(lines).toContain('No organization files in organizations/local: running the demo organization "acme"');
    expect(await readdir(folder)).toEqual([]);
  });

  test("until organizations are configured meanwhile, and says so", async () => {
    const program = start();
    await urlOf(program);
    await mkdir(join(folder, "organizations/local"), { recursive: true });
    await program.printed(/organizations\/local is there now: stop this demo and start again/);
  });

  test("with --demo beside organization files, whose state is not touched", async () => {
    await configure({ beta: documentOf("beta") });
    const lines = await outputOf(start(["--organizations", organizations, "--demo"]));
    expect(lines).toContain('running the demo organization "acme"');
    expect(lines.join()).not.toContain("webhook of beta");
    expect(await readdir(folder)).toEqual(["organizations"]);
  });
});

describe("an organization that is new here", () => {
  beforeEach(() => configure({ acme: documentOf("acme") }));

  /** `start` on a terminal, where somebody types this line. */
  async function onTerminal(line: string, args: string[] = []): Promise<string> {
    const places = ["--organizations", organizations, "--state", join(folder, "state")];
    const start = [process.execPath, join(ROOT, MAIN), "start", ...ANY_PORTS, ...places, ...args].join(" ");
    const typed = `printf '${line}\\n' | script -qec 'echo pid $$; exec ${start}' /dev/null`;
    const program = runProgram("sh", ["-c", typed], { ...QUIET, ...ENVIRONMENT });
    programs.push(program);
    const [, pid = ""] = await program.printed(/^pid (\d+)/m);
    await urlOf(program);
    process.kill(Number(pid), "SIGTERM");
    await program.ended;
    return program.output();
  }

  const saidOf = async (slug: string) => {
    const state = openState(join(folder, "state"));
    const said = await state.ledger.pauses.get(slug);
    state.close();
    return said?.paused;
  };

  test.runIf(existsSync("/usr/bin/script"))(
    "begins on a terminal after a yes, and is not asked about again",
    async () => {
      expect(await onTerminal("y")).toMatch(/acme is new here[\s\S]*Let acme begin now\?/);
      expect(await saidOf("acme")).toBe(false);
      expect(await onTerminal("n")).not.toContain("is new here");
    },
  );

  test.runIf(existsSync("/usr/bin/script"))("is paused after a no", async () => {
    expect(await onTerminal("n")).toMatch(/acme is paused: .*resume --organization acme/);
    expect(await saidOf("acme")).toBe(true);
  });

  test.runIf(existsSync("/usr/bin/script"))("begins with --yes without a question", async () => {
    expect(await onTerminal("n", ["--yes"])).not.toContain("is new here");
    expect(await saidOf("acme")).toBeUndefined();
  });

  test("begins where there is no terminal", async () => {
    expect((await outputOf(startConfigured())).join()).not.toContain("is new here");
    expect(await saidOf("acme")).toBeUndefined();
  });
});

describe("while it runs", () => {
  test("an organization and its secrets that are added work without a restart", async () => {
    await configure({ acme: documentOf("acme") });
    const program = startConfigured();
    const url = await urlOf(program);
    const other = "another-webhook-secret-that-protects-nothing";
    await writeFile(join(folder, ".env"), `BETA_SECRET=${other}\n`);
    const { clavex, ...rest } = documentOf("beta");
    const beta = {
      ...rest,
      organizationId: ORGANIZATION_ID,
      clavex: { ...clavex, webhookSecrets: ["env:BETA_SECRET"] },
    };
    await configure({ acme: { ...documentOf("acme"), organizationId: randomUUID() }, beta });
    await program.printed(/webhook of beta: /);
    expect(await deliver(url, "beta", other)).toBe(202);
  });

  test("a broken edit of an organization file keeps the last good one and says so; the next good edit is taken", async () => {
    await configure({ acme: documentOf("acme") });
    const program = startConfigured();
    const url = await urlOf(program);
    await configure({ acme: '{ "slug": "acme", ' });
    await program.printed(/acme\.json: is not JSON.*; the last good version stays in use/);
    expect(await deliver(url)).toBe(202);
    await configure({ acme: { ...documentOf("acme"), organizationId: randomUUID() } });
    await until(
      () => deliver(url),
      (status) => status === 400,
    );
  });

  test("a broken edit of .env keeps the last good one and says so", async () => {
    await configure({ acme: documentOf("acme") });
    await writeFile(join(folder, ".env"), `SECRET=${SECRET}\nKEY=clv\nPASSWORD=p\n`);
    const program = startConfigured({});
    const url = await urlOf(program);
    await writeFile(join(folder, ".env"), "KEY=clv\nPASSWORD=p\n");
    await program.printed(
      /\.env: secret env:SECRET cannot be read .*: it is not set; the last good version stays in use/,
    );
    expect(await deliver(url)).toBe(202);
    const next = "the-next-webhook-secret-that-protects-nothing";
    await writeFile(join(folder, ".env"), `SECRET=${next}\nKEY=clv\nPASSWORD=p\n`);
    await until(
      () => deliver(url, "acme", next),
      (status) => status === 202,
    );
  });

  test("the folder that goes away keeps everything in use", async () => {
    await configure({ acme: documentOf("acme") });
    const program = startConfigured();
    const url = await urlOf(program);
    await rm(organizations, { recursive: true });
    await program.printed(/organizations: there is no such folder; the last good version stays in use/);
    expect(await deliver(url)).toBe(202);
  });
});

describe("doctor asks the running process", () => {
  const doctor = async (environment: Record<string, string>) => {
    const places = ["--organizations", organizations, "--state", join(folder, "state")];
    const program = run(MAIN, ["doctor", "--json", ...places], environment, folder);
    await program.ended;
    const [{ results }] = JSON.parse(program.stdout());
    return results.find(({ id }: { id: string }) => id === "pipeline.delivery");
  };

  test("which takes a delivery signed with the secret of the files", async () => {
    await configure({ acme: documentOf("acme") });
    const url = await urlOf(startConfigured());
    expect(await doctor(ENVIRONMENT)).toMatchObject({ status: "ok", cause: `at ${url}/webhooks/clavex/acme` });
  });

  test("which was started with another secret", async () => {
    await configure({ acme: documentOf("acme") });
    await urlOf(startConfigured({ ...ENVIRONMENT, SECRET: "the-secret-of-yesterday-that-protects-nothing" }));
    expect(await doctor(ENVIRONMENT)).toMatchObject({ status: "fail", cause: expect.stringContaining("answers 401") });
  });
});

describe("what the operating system refuses is one sentence", () => {
  beforeEach(() => configure({ acme: documentOf("acme") }));

  test("EADDRINUSE: the port", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await until(() => server.listening, Boolean);
    const { port } = server.address() as { port: number };
    const program = start(["--organizations", organizations, "--port", String(port)]);
    expect(await refusal(program)).toBe(
      `cannot listen on 127.0.0.1 port ${port}: the port is in use, EADDRINUSE\nAnother process listens there: stop it, or choose another port with --host and --port.\n`,
    );
    server.close();
  });

  test("EADDRNOTAVAIL: the address", async () => {
    const program = start(["--organizations", organizations, "--host", "192.0.2.1"]);
    expect(await refusal(program)).toMatch(
      /^cannot listen on 192\.0\.2\.1 port 0: the address is not one of this machine, /,
    );
  });

  test("ENOTDIR: the state folder", async () => {
    await writeFile(join(folder, "file"), "");
    const program = start(["--organizations", organizations, "--state", join(folder, "file/state")]);
    expect(await refusal(program)).toMatch(
      /state: queue and ledger cannot be kept there \(a part of the path is not a folder, ENOTDIR\)/,
    );
  });

  test.runIf(process.getuid?.() !== 0)("EACCES: the state folder", async () => {
    const closed = join(folder, "closed");
    await mkdir(closed, { mode: 0o500 });
    const program = start(["--organizations", organizations, "--state", join(closed, "state")]);
    expect(await refusal(program)).toMatch(
      /state: queue and ledger cannot be kept there \(this user may not, EACCES\)/,
    );
  });

  test.runIf(existsSync("/dev/full"))("ENOSPC: the output", async () => {
    const places = ["--organizations", organizations, "--state", join(folder, "state"), ...ANY_PORTS];
    const args = ["-c", 'exec "$0" "$@" > /dev/full', process.execPath, join(ROOT, MAIN), "start", ...places];
    const program = runProgram("sh", args, { ...QUIET, ...ENVIRONMENT });
    expect(await program.ended).toBe(1);
    expect(program.stderr()).toBe("the output cannot be written: the disk is full, ENOSPC\n");
  });

  test("EPIPE: nobody reads the output any more, and the pipeline stops in good order", async () => {
    const places = ["--organizations", organizations, "--state", join(folder, "state"), ...ANY_PORTS];
    const args = ["-o", "pipefail", "-c", '"$0" "$@" | :', process.execPath, join(ROOT, MAIN), "start", ...places];
    const program = runProgram("bash", args, { ...QUIET, ...ENVIRONMENT });
    expect(await program.ended).toBe(1);
    expect(program.stderr()).toBe("the output cannot be written: whoever read the output is gone, EPIPE\n");
    expect(await readdir(join(folder, "state"))).toEqual(["lock", "state.sqlite"]);
  });
});

test("SIGTERM to npm reaches the process, which stops in good order", async () => {
  await configure({ acme: documentOf("acme") });
  const options = [...ANY_PORTS, "--organizations", organizations, "--state", join(folder, "state")];
  const program = runProgram("npm", ["start", "--", ...options], { ...QUIET, ...ENVIRONMENT }, ROOT);
  programs.push(program);
  await urlOf(program);
  program.kill("SIGTERM");
  await program.ended;
  expect(program.output()).toContain("stopping: finishing what is under way");
  await until(
    () => readdir(join(folder, "state")),
    (names) => !names.includes("pipeline.json"),
  );
});

describe("what start prints", () => {
  test("is JSON in every line where stdout is no terminal", async () => {
    const lines = (await outputOf(start(["--log-format", "json"]))).map(
      (line): Record<string, unknown> => JSON.parse(line),
    );
    for (const line of lines) {
      expect(line).toMatchObject({ level: "INFO", service: "clavex-nextcloud" });
      expect(line.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    expect(lines.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^listening on http:\/\/127\.0\.0\.1:\d+$/),
        expect.stringMatching(/^webhook of acme: http:.*\/webhooks\/clavex\/acme$/),
        expect.stringMatching(/^stopping/),
      ]),
    );
  });

  test("is in the format that the environment asks for", async () => {
    const program = run(
      MAIN,
      ["start", ...ANY_PORTS, "--state", "state"],
      { CLAVEX_NEXTCLOUD_LOG_FORMAT: "text" },
      folder,
    );
    programs.push(program);
    expect(await outputOf(program)).toContainEqual(expect.stringMatching(/^listening on http:/));
  });

  test("is a sentence when a format or level does not exist", async () => {
    for (const [args, sentence] of [
      [["--log-format", "xml"], "Allowed choices are json, text."],
      [["--log-level", "loud"], "Allowed choices are debug, info, warn, error."],
    ] as const)
      expect(await refusal(start([...args]))).toContain(sentence);
  });
});
