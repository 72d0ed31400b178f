import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type SimulatedClavex, startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { ROOT } from "../support/processes.ts";
import { CTRL_C, CTRL_D, CTRL_U, DOWN, openTerminal, type Terminal } from "../support/pseudo-terminal.ts";

const ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
const EMAIL = "admin@acme.example";
const PASSWORD = "Correct-horse-battery-9";
const APP_PASSWORD = "the-app-password-of-the-provisioner";
/** Nothing listens there. */
const NOBODY = "http://127.0.0.1:9";

let folder: string;
let clavex: SimulatedClavex;
let nextcloud: SimulatedNextcloud;
let terminals: Terminal[];

beforeEach(async () => {
  terminals = [];
  folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  clavex = await startSimulatedClavex({
    organizations: [
      { id: ID, slug: "acme", apiKey: "" },
      { id: "1b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c11", slug: "root", apiKey: "" },
    ],
    adminToken: "the-superadmins-token",
  });
  clavex.addAdministrator("acme", { email: EMAIL, password: PASSWORD });
  nextcloud = await startSimulatedNextcloud({
    credentials: [{ username: "provisioner", password: APP_PASSWORD, backend: "user_oidc" }],
    providers: [],
    skeleton: {},
  });
});

afterEach(async () => {
  for (const terminal of terminals) await terminal.close();
  await clavex.close();
  await nextcloud.close();
  await rm(folder, { recursive: true });
});

/** `setup` in a terminal of its own. */
function setup(args: string[] = [], environment: Record<string, string> = {}, columns = 200): Terminal {
  const terminal = openTerminal([process.execPath, join(ROOT, "functions/cli/main.ts"), "setup", ...args], {
    folder,
    environment,
    columns,
  });
  terminals.push(terminal);
  return terminal;
}

/** What the terminal says of itself at the end, unless a program has changed it for good. */
const LEFT_AS_FOUND = /modes: (icanon echo|echo icanon) /;
const answersFile = () => join(folder, ".local/setup-answers.json");

describe("setup in a terminal", () => {
  test("asks for everything, tries each answer at once and asks again, and connects both", async () => {
    const terminal = setup();
    await terminal.answer(/Address of Clavex:/, "id.acme.eu");
    await terminal.shows(/is not a URL: write one such as https:/);
    terminal.press(CTRL_U);
    await terminal.answer(/Address of Clavex:/, nextcloud.url);
    await terminal.shows(/is no Clavex \(HTTP \d+\)\./);
    terminal.press(CTRL_U);
    await terminal.answer(/Address of Clavex:/, NOBODY);
    await terminal.shows(/Clavex cannot be reached \(ECONNREFUSED\)/);
    terminal.press(CTRL_U);
    await terminal.answer(/Address of Clavex:/, `${clavex.url}/acme`);
    await terminal.shows(/leave out what is behind it\./);
    terminal.press(CTRL_U);
    await terminal.answer(/Address of Clavex:/, `${clavex.url}/`);

    await terminal.answer(/Slug of the organization:/, "Acme");
    await terminal.shows(/A slug has only a-z, 0-9 and -/);
    terminal.press(CTRL_U);
    await terminal.answer(/Slug of the organization:/, "nobody");
    await terminal.shows(/no organization with the slug nobody\./);
    terminal.press(CTRL_U);
    await terminal.answer(/Slug of the organization:/, "acme");

    await terminal.answer(/E-mail address of the administrator:/, "admin");
    await terminal.shows(/That is not an e-mail address, nor token\./);
    terminal.press(CTRL_U);
    await terminal.answer(/E-mail address of the administrator:/, EMAIL);
    await terminal.answer(/Slug of their own organization:/, "nobody");
    await terminal.shows(/no organization with the slug nobody\./);
    terminal.press(CTRL_U);
    await terminal.answer(/Slug of their own organization:/, "acme");
    await terminal.answer(/Their password in Clavex:/, "wrong");
    await terminal.shows(/! Clavex refuses the login: invalid credentials/);
    await terminal.answer(/E-mail address of the administrator:/, "");
    await terminal.answer(/Slug of their own organization:/, "");
    await terminal.answer(/Their password in Clavex:/, PASSWORD);

    await terminal.answer(/Public address of the pipeline:/, "hooks.acme.eu");
    await terminal.shows(/That is not a URL/);
    terminal.press(CTRL_U);
    await terminal.answer(/Public address of the pipeline:/, "none");

    await terminal.answer(/Address of Nextcloud:/, `${nextcloud.url}/index.php/login`);
    await terminal.shows(/must be the address of Nextcloud alone/);
    terminal.press(CTRL_U);
    await terminal.answer(/Address of Nextcloud:/, clavex.url);
    await terminal.shows(/not that of an installed Nextcloud/);
    terminal.press(CTRL_U);
    await terminal.answer(/Address of Nextcloud:/, nextcloud.url);

    await terminal.answer(/User name of that account:/, "");
    await terminal.answer(/Its app password or password:/, "wrong");
    await terminal.shows(/! Nextcloud refuses the user name or password\./);
    await terminal.answer(/User name of that account:/, "");
    await terminal.answer(/Its app password or password:/, APP_PASSWORD);

    await terminal.shows(/And their name and e-mail address in Nextcloud:/);
    terminal.press(DOWN);
    await terminal.answer(/❯ are erased there too/, "");

    await terminal.answer(/Do this now\?/, "y");
    await terminal.shows(/Next: npx clavex-nextcloud doctor/);
    expect(await terminal.ended).toBe(0);

    const file = JSON.parse(await readFile(join(folder, "organizations/local/acme.json"), "utf8"));
    expect(file).toMatchObject({
      organizationId: ID,
      clavex: { baseUrl: clavex.url, webhookSecrets: [] },
      nextcloud: { baseUrl: nextcloud.url, username: "provisioner" },
      deprovision: { erased: "anonymise" },
    });
    expect(clavex.management("acme").webhooks).toEqual([]);
    for (const secret of [PASSWORD, APP_PASSWORD]) expect(terminal.shown()).not.toContain(secret);
    expect(terminal.shown()).toMatch(LEFT_AS_FOUND);

    // Again: nothing has to be said but what is kept nowhere.
    const again = setup([], { CLAVEX_ADMIN_EMAIL: EMAIL, CLAVEX_ADMIN_PASSWORD: PASSWORD });
    expect(await again.ended).toBe(0);
    expect(again.shown()).toContain("There is nothing to do.");
  });

  test("breaks what it says between words, on a narrow terminal too", async () => {
    const terminal = setup([], {}, 46);
    await terminal.answer(/Address of Clavex:/, "id.acme.eu");
    await terminal.shows(/is not a URL/);
    terminal.press(CTRL_U);
    await terminal.answer(/Address of Clavex:/, `${clavex.url}/acme`);
    await terminal.shows(/behind it\./);
    terminal.press(CTRL_C);
    expect(await terminal.ended).toBe(130);
    for (const sentence of [
      "Each answer is tried at once. Enter takes what is suggested, Ctrl-C ends without a change.",
      "Clavex: its address is what the browser shows before the organization's slug.",
      "It is not a URL: write one such as https://id.example.org.",
    ]) {
      const words = sentence.split(" ").map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      expect(terminal.shown()).toMatch(new RegExp(words.join("\\s+")));
    }
  });

  test("Ctrl-C ends it quietly with 130, and another run suggests what was answered", async () => {
    const terminal = setup();
    await terminal.answer(/Address of Clavex:/, clavex.url);
    await terminal.answer(/Slug of the organization:/, "acme");
    await terminal.answer(/E-mail address of the administrator:/, EMAIL);
    await terminal.answer(/Slug of their own organization:/, "");
    await terminal.shows(/Their password in Clavex:/);
    terminal.press(`secret-half${CTRL_C}`);
    expect(await terminal.ended).toBe(130);
    const [, after = ""] = terminal.shown().split("Their password in Clavex:");
    expect(after).not.toMatch(/Error|at |secret|wrong/i);
    expect(terminal.shown()).toMatch(LEFT_AS_FOUND);

    expect(await readdir(folder)).toEqual([".local"]);
    expect((await stat(answersFile())).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, ".local"))).mode & 0o777).toBe(0o700);
    expect(JSON.parse(await readFile(answersFile(), "utf8"))).toEqual({
      clavexUrl: clavex.url,
      slug: "acme",
      adminEmail: EMAIL,
      adminOrganization: "acme",
    });

    const again = setup();
    await again.answer(new RegExp(`Address of Clavex: \\(?${clavex.url}`), "");
    await again.answer(/Slug of the organization: \(?acme/, "");
    await again.answer(/E-mail address of the administrator: \(?admin@acme\.example/, "");
    await again.answer(/Slug of their own organization: \(?acme/, "");
    await again.answer(/Their password in Clavex:/, PASSWORD);
    await again.shows(/Public address of the pipeline:/);
    again.press(CTRL_C);
    expect(await again.ended).toBe(130);
    expect(await readFile(answersFile(), "utf8")).not.toContain(PASSWORD);
  });

  test("Ctrl-D ends it as Ctrl-C does", async () => {
    const terminal = setup();
    await terminal.shows(/Address of Clavex:/);
    terminal.press(CTRL_D);
    expect(await terminal.ended).toBe(130);
    expect(terminal.shown()).not.toMatch(/Error|unsettled/i);
    expect(terminal.shown()).toMatch(LEFT_AS_FOUND);
  });

  test("keeps the answers when something fails afterwards", async () => {
    const terminal = setup(["--organization", "acme", "--clavex-url", clavex.url, "--webhook-url", "none"], {
      CLAVEX_ADMIN_EMAIL: EMAIL,
      CLAVEX_ADMIN_PASSWORD: PASSWORD,
    });
    await terminal.answer(/Address of Nextcloud:/, nextcloud.url);
    for (let failed = 0; failed < 3; failed += 1) {
      await terminal.answer(/User name of that account:/, failed === 0 ? "somebody" : "");
      await terminal.answer(/Its app password or password:/, "wrong");
    }
    expect(await terminal.ended).toBe(1);
    expect(terminal.shown()).toMatch(/locks an address after eleven failed logins/);
    expect(JSON.parse(await readFile(answersFile(), "utf8"))).toEqual({
      clavexUrl: clavex.url,
      slug: "acme",
      adminEmail: EMAIL,
      adminOrganization: "acme",
      webhookUrl: "none",
      nextcloudUrl: nextcloud.url,
      username: "somebody",
    });
  });

  test("an option that is wrong is asked for, and a superadmin's login finds the organization by its slug", async () => {
    clavex.addAdministrator("root", { email: "root@acme.example", password: PASSWORD, role: "super_admin" });
    const terminal = setup([
      ...["--clavex-url", NOBODY, "--organization", "acme", "--webhook-url", "none"],
      ...["--nextcloud-url", nextcloud.url, "--admin-organization", "root"],
    ]);
    await terminal.shows(/! .*cannot be reached \(ECONNREFUSED\)/);
    await terminal.shows(/Address of Clavex:/);
    terminal.press(CTRL_U);
    terminal.press(`${clavex.url}\r`);
    await terminal.answer(/E-mail address of the administrator:/, "root@acme.example");
    await terminal.answer(/Their password in Clavex:/, PASSWORD);
    // The UUID is not asked for.
    await terminal.shows(/User name of that account:/);
    expect(terminal.shown()).not.toContain("UUID");
    terminal.press(CTRL_C);
    expect(await terminal.ended).toBe(130);
  });

  test("asks for a token where an administrator answers so instead of an e-mail address", async () => {
    const terminal = setup(["--clavex-url", clavex.url, "--organization", "acme", "--webhook-url", "none"]);
    await terminal.answer(/E-mail address of the administrator:/, "token");
    await terminal.answer(/Token of an administrator/, "of-nobody");
    await terminal.shows(/! .*HTTP 401/);
    await terminal.answer(/Token of an administrator/, clavex.adminToken);
    await terminal.shows(/Address of Nextcloud:/);
    terminal.press(CTRL_C);
    expect(await terminal.ended).toBe(130);
    expect(terminal.shown()).not.toContain(clavex.adminToken);
    expect(await readFile(answersFile(), "utf8")).not.toContain("token");
  });

  test("asks which provider it is, and how that makes ids, where Nextcloud shows neither", async () => {
    await nextcloud.close();
    nextcloud = await startSimulatedNextcloud({
      version: 27,
      credentials: [{ username: "admin", password: APP_PASSWORD }],
    });
    const terminal = setup(
      [
        ...["--organization", "acme", "--clavex-url", clavex.url, "--nextcloud-url", nextcloud.url],
        ...["--webhook-url", "none", "--username", "admin", "--erased", "disable"],
      ],
      { CLAVEX_ADMIN_EMAIL: EMAIL, CLAVEX_ADMIN_PASSWORD: PASSWORD, NEXTCLOUD_APP_PASSWORD: APP_PASSWORD },
    );
    await terminal.answer(/Id of the provider for Clavex/, "clavex");
    await terminal.shows(/That is not an id/);
    terminal.press(CTRL_U);
    await terminal.answer(/Id of the provider for Clavex/, "1");
    await terminal.shows(/Its ids are:/);
    terminal.press(DOWN);
    await terminal.answer(/❯ the subject itself/, "");
    await terminal.answer(/Do this now\?/, "y");
    expect(await terminal.ended).toBe(0);
    const file = JSON.parse(await readFile(join(folder, "organizations/local/acme.json"), "utf8"));
    expect(file.identity).toEqual({ scheme: "user_oidc", providerId: 1, uniqueUserIds: false });
  });

  test("asks how people log in where user_oidc is not enabled", async () => {
    await nextcloud.close();
    nextcloud = await startSimulatedNextcloud({
      version: 32,
      credentials: [{ username: "admin", password: APP_PASSWORD }],
    });
    nextcloud.apps.delete("user_oidc");
    nextcloud.apps.set("sociallogin", "6.0.0");
    const terminal = setup(
      [
        ...["--organization", "acme", "--clavex-url", clavex.url, "--nextcloud-url", nextcloud.url],
        ...["--webhook-url", "none", "--username", "admin", "--erased", "disable"],
      ],
      { CLAVEX_ADMIN_EMAIL: EMAIL, CLAVEX_ADMIN_PASSWORD: PASSWORD, NEXTCLOUD_APP_PASSWORD: APP_PASSWORD },
    );
    await terminal.shows(/user_oidc, with which people log in, is not enabled/);
    await terminal.answer(/❯ it is enabled now/, "");
    await terminal.shows(/is not enabled in Nextcloud/);
    await terminal.shows(/❯ it is enabled now/);
    terminal.press(DOWN);
    await terminal.answer(/❯ people log in with the app sociallogin/, "");
    await terminal.answer(/Internal name of the provider:/, "my clavex");
    await terminal.shows(/only letters, digits/);
    terminal.press(CTRL_U);
    await terminal.answer(/Internal name of the provider:/, "clavex");
    await terminal.answer(/Do this now\?/, "y");
    await terminal.shows(/by hand +Nextcloud: login provider of sociallogin/);
    expect(await terminal.ended).toBe(0);
    const file = JSON.parse(await readFile(join(folder, "organizations/local/acme.json"), "utf8"));
    expect(file.identity).toEqual({ scheme: "sociallogin", providerName: "clavex" });
  });

  test("Ctrl-C while it works lets the step come to its end, and another run goes on from there", async () => {
    const terminal = setup(
      [
        ...["--organization", "acme", "--clavex-url", clavex.url, "--nextcloud-url", nextcloud.url],
        ...["--webhook-url", "none", "--username", "provisioner", "--erased", "disable"],
      ],
      { CLAVEX_ADMIN_EMAIL: EMAIL, CLAVEX_ADMIN_PASSWORD: PASSWORD, NEXTCLOUD_APP_PASSWORD: APP_PASSWORD },
    );
    clavex.faults.add({
      kind: "slow",
      ms: 500,
      times: 1,
      match({ method, path }) {
        const isMinting = method === "POST" && path.endsWith("/api-keys");
        if (isMinting) terminal.press(CTRL_C);
        return isMinting;
      },
    });
    await terminal.answer(/Do this now\?/, "y");
    await terminal.shows(/Setup stops after this step; run it again/);
    await terminal.shows(/done +Clavex: API key/);
    expect(await terminal.ended).toBe(130);
    expect(clavex.management("acme")).toMatchObject({ apiKeys: [{ is_active: true }], clients: [] });
    expect(await readFile(join(folder, ".env"), "utf8")).toMatch(/^ACME_CLAVEX_API_KEY=/m);

    const again = setup([], { CLAVEX_ADMIN_EMAIL: EMAIL, CLAVEX_ADMIN_PASSWORD: PASSWORD });
    for (const question of [
      /Address of Clavex:/,
      /Slug of the organization:/,
      /Public address/,
      /Address of Nextcloud:/,
    ])
      await again.answer(question, "");
    // The password was kept by the first step: it is not asked for.
    await again.answer(/User name of that account:/, "");
    await again.shows(/❯ stay \(the default\)/);
    again.press(CTRL_C);
    expect(await again.ended).toBe(130);
    expect(clavex.management("acme").apiKeys).toHaveLength(1);
  });
});
