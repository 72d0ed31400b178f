import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPipelineConsole } from "../../functions/cli/console-pages.ts";
import { NEVER } from "../../functions/core/schedule.ts";
import { findConsole } from "../../functions/local/console-file.ts";
import { type Pipeline, startPipeline } from "../../functions/local/pipeline.ts";
import { buildInMemory, type Tenant } from "../support/organization.ts";
import { type LoginProxy, startProxy } from "../support/proxy.ts";

/*
 * The operator's pages in a real browser: the system's Chromium. Where there is none these tests are left out, unless
 * CLAVEX_NEXTCLOUD_BROWSER_TEST=required. CLAVEX_NEXTCLOUD_SCREENSHOTS=write renews the pictures of docs/.
 */

const WHERE = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = WHERE.find((path) => existsSync(path));
const isRequired = process.env.CLAVEX_NEXTCLOUD_BROWSER_TEST === "required";
if (executablePath === undefined && !isRequired)
  console.log("test/browser is left out: there is no Chromium here (apt install chromium).");

const HOSTILE = "<img src=x onerror=alert(1)>";
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
/** What is used of what axe-core answers. */
interface AxeFindings {
  violations: { id: string; nodes: { html: string }[] }[];
}
const PHONE = { width: 360, height: 740 };
/** A window of 1280 by 900 at a zoom of 200 %. */
const ZOOMED = { width: 640, height: 450 };
/** The name under which browsers reach the console through a proxy. */
const PROXIED = "console.test";
const LOGIN = { username: "operator", password: "correct horse" };

describe.runIf(executablePath !== undefined || isRequired)("the operator's pages in a browser", () => {
  let tenant: Tenant;
  let pipeline: Pipeline;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let folder: string;
  let proxy: LoginProxy;
  const closers: (() => Promise<unknown>)[] = [];
  const dialogs: string[] = [];
  const errors: string[] = [];

  beforeAll(async () => {
    const built = await buildInMemory({ quota: { default: "5 GB", byGroup: { Finance: "50 GB" } }, skeleton: "empty" });
    tenant = built.tenant;
    folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
    proxy = await startProxy(LOGIN);
    const pages = createPipelineConsole({
      stateFolder: folder,
      adminHost: "127.0.0.1",
      browserUrl: `http://${PROXIED}:${proxy.port}`,
    });
    const { organizations, secrets } = tenant;
    pipeline = await startPipeline({
      organizations,
      secrets,
      log: silent,
      port: 0,
      adminPort: 0,
      createPages: pages.create,
      intervals: NEVER,
      retryDelay: () => 1,
    });
    await pages.remember(pipeline);
    proxy.to = pipeline.adminUrl;
    browser = await chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      args: ["--no-sandbox", `--host-resolver-rules=MAP ${PROXIED} 127.0.0.1`],
    });
    closers.push(
      () => browser.close(),
      () => proxy.close(),
      () => pipeline.stop(),
      built.close,
      () => rm(folder, { recursive: true }),
    );
    context = await visitor({});
    page = await context.newPage();
    watch(page);
    await page.goto(await link());
  });
  afterAll(async () => {
    for (const close of closers) await close();
  });

  /** What the command `console` asks for. */
  async function link(): Promise<string> {
    const { url, token } = (await findConsole(folder)) ?? { url: "", token: "" };
    const answer = await fetch(`${url}/links`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
    return `${url}${((await answer.json()) as { path: string }).path}`;
  }
  const visitor = (options: object) => browser.newContext({ ...options, viewport: { width: 1280, height: 900 } });
  function watch(watched: Page): void {
    watched.on("dialog", (dialog) => {
      dialogs.push(dialog.message());
      void dialog.dismiss();
    });
    watched.on("pageerror", (error) => void errors.push(error.message));
    watched.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
  }
  const at = (path: string): string => `${pipeline.adminUrl}${path}`;
  const pathOf = ({ id }: { id: string }): string => `/people/${tenant.slug}/${id}`;
  async function violations(): Promise<string[]> {
    await page.evaluate(axe.source);
    const { violations: found } = await page.evaluate<AxeFindings>("axe.run()");
    return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  }
  const picture = async (name: string): Promise<void> => {
    if (process.env.CLAVEX_NEXTCLOUD_SCREENSHOTS !== "write") return;
    await page.screenshot({ path: `docs/console-${name}.png`, clip: { x: 0, y: 0, width: 1280, height: 800 } });
  };

  it("every page: axe-core finds nothing, light or dark, and neither a phone nor a zoom of 200 % needs to scroll sideways", async () => {
    const person = tenant.person({ first_name: HOSTILE, last_name: "Tables" }, ["Finance", HOSTILE]);
    await pipeline.ledger.deadLetters.park({
      organization: tenant.slug,
      subject: person.id,
      job: tenant.job(person),
      reason: "profile-refused",
      message: `Nextcloud refuses ${HOSTILE}`,
      attempts: 3,
      lastAt: Date.now(),
    });
    const one = pathOf(person);
    const paths = [
      "/",
      "/people?q=tables",
      one,
      `${one}?fresh=yes`,
      `${one}/rehearsal`,
      "/plan?compute=yes",
      "/dead-letters",
      "/activity",
      "/checks?run=yes",
      "/nowhere",
    ];
    for (const path of paths) {
      await page.emulateMedia({ colorScheme: "light" });
      await page.goto(at(path));
      expect([path, await violations()]).toEqual([path, []]);
      await page.emulateMedia({ colorScheme: "dark" });
      expect([path, "dark", await violations()]).toEqual([path, "dark", []]);
      for (const size of [PHONE, ZOOMED]) {
        await page.setViewportSize(size);
        expect([path, await page.evaluate("document.documentElement.scrollWidth")]).toEqual([path, size.width]);
      }
      await page.setViewportSize({ width: 1280, height: 900 });
    }
    await page.emulateMedia({ colorScheme: "light" });
    expect(dialogs).toEqual([]);
    // The page that is not there is the one error.
    expect(errors.filter((error) => !error.includes("404"))).toEqual([]);
  });

  it("a key alone skips to the content", async () => {
    await page.goto(at("/"));
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
    await page.keyboard.press("Enter");
    expect(page.url()).toMatch(/#main$/);
  });

  it("the keyboard alone finds a person and brings them up to date, and always shows where it is", async () => {
    tenant.person({ first_name: "Katherine", last_name: "Johnson" });
    await page.goto(at("/people"));
    const focused = () =>
      page.evaluate<{ text: string; outline: string }>(
        `(() => { const at = document.activeElement; return { text: (at.textContent || at.name || "").trim(), outline: getComputedStyle(at).outlineStyle }; })()`,
      );
    const tabTo = async (text: string): Promise<void> => {
      for (let steps = 0; steps < 30; steps += 1) {
        await page.keyboard.press("Tab");
        const where = await focused();
        expect([where.text, where.outline]).toEqual([where.text, "solid"]);
        if (where.text === text) return;
      }
      throw new Error(`the keyboard does not get to ${text}`);
    };
    await tabTo("q");
    await page.keyboard.type("katherine johnson");
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "Katherine Johnson" }).waitFor();
    await tabTo("Katherine Johnson");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Bring up to date now" }).waitFor();
    await tabTo("Bring up to date now");
    await page.keyboard.press("Enter");
    await page.getByText("Queued.").waitFor();
    await pipeline.idle();
  });

  it("behind a proxy with a login of its own: the link, forms and live updates work", async () => {
    const outside = await browser.newContext({ httpCredentials: LOGIN });
    const through = (path: string) => `http://${PROXIED}:${proxy.port}${path}`;
    const desk = await outside.newPage();
    watch(desk);
    await desk.goto(through(new URL(await link()).search.replace(/^/, "/")));
    await desk.getByRole("heading", { level: 1, name: "Status" }).waitFor();
    expect(new URL(desk.url()).search).toBe("");
    const person = tenant.person({ first_name: "Annie", last_name: "Easley" });
    const watching = await outside.newPage();
    await watching.goto(through("/activity"));
    await desk.goto(through("/people?q=easley"));
    await desk.getByRole("link", { name: "Annie Easley" }).click();
    await desk.getByRole("button", { name: "Bring up to date now" }).click();
    await desk.getByText("Queued.").waitFor();
    await watching.getByRole("link", { name: "Annie Easley" }).waitFor();
    expect(tenant.account(person)?.enabled).toBe(true);
    const stranger = await browser.newContext();
    expect((await stranger.request.get(`http://127.0.0.1:${proxy.port}/`)).status()).toBe(401);
    await stranger.close();
    await outside.close();
  });

  it("a link that another site leads to works, although the browser keeps the cookie back at first", async () => {
    const visitors = await visitor({});
    const elsewhere = await visitors.newPage();
    await elsewhere.goto("about:blank");
    await elsewhere.setContent(`<a href="${await link()}">console</a>`);
    await elsewhere.getByRole("link", { name: "console" }).click();
    await elsewhere.getByRole("heading", { level: 1, name: "Status" }).waitFor();
    await visitors.close();
  });

  it("a person is found and brought up to date, and what happened comes by itself", async () => {
    const grace = tenant.person({ first_name: "Grace", last_name: "Hopper", email: "grace@acme.example" }, ["Finance"]);
    const watching = await context.newPage();
    watch(watching);
    await watching.goto(at("/activity"));
    await page.goto(at("/people"));
    await page.getByLabel("Name, e-mail address or id").fill("grace hopper");
    await page.getByRole("button", { name: "Search" }).click();
    await page.getByRole("link", { name: "Grace Hopper" }).click();
    await page.getByRole("button", { name: "Bring up to date now" }).click();
    expect(await page.getByRole("status").textContent()).toContain("Queued.");
    await watching.getByRole("row", { name: /Grace Hopper.*account created/ }).waitFor();
    expect(tenant.account(grace)?.email).toBe("grace@acme.example");
    await watching.close();
    await page.goto(at(`${pathOf(grace)}?fresh=yes`));
    await page.getByText("everything is in sync").waitFor();
    await picture("person");
    await page.getByRole("link", { name: "Rehearse the first login" }).click();
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("Rehearsal of the first login");
  });

  it("a plan is applied; what is taken away needs its number", async () => {
    const leaver = tenant.person({ first_name: "Linus", last_name: "Pauling" });
    await page.goto(at(pathOf(leaver)));
    await page.getByRole("button", { name: "Bring up to date now" }).click();
    await pipeline.idle();
    tenant.clavex.suspend(tenant.slug, leaver.id);
    await page.goto(at("/plan"));
    await page.getByRole("button", { name: "Compute the plan" }).click();
    await page.getByRole("region", { name: "1 person loses access or a group" }).waitFor();
    await page.getByLabel(/^Type 1 to take access/).fill("1");
    await page.getByRole("button", { name: "Apply the plan" }).click();
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("Activity");
    await pipeline.idle();
    expect(tenant.account(leaver)?.enabled).toBe(false);
    await page.goto(at("/"));
    await picture("status");
  });

  it("a dead letter is dropped after a look at it; an organization is paused and resumed", async () => {
    const person = tenant.person({ first_name: "Ada", last_name: "Lovelace" });
    await pipeline.ledger.deadLetters.park({
      organization: tenant.slug,
      subject: person.id,
      job: tenant.job(person),
      reason: "account-conflict",
      message: "an account that is not the person's has their id",
      attempts: 1,
      lastAt: Date.now(),
    });
    await page.goto(at("/dead-letters"));
    await page.getByRole("button", { name: "Drop Ada Lovelace" }).click();
    await page.getByRole("button", { name: "Drop 1" }).click();
    expect(await page.getByRole("status").textContent()).toContain("1 dead letter dropped");
    await page.goto(at("/"));
    await page.getByRole("button", { name: /^Pause/ }).click();
    await page.getByRole("button", { name: /^Resume/ }).click();
    expect(await page.getByRole("status").textContent()).toContain("is resumed");
  });

  it("works without JavaScript", async () => {
    const plain = await visitor({ javaScriptEnabled: false });
    const quiet = await plain.newPage();
    await quiet.goto(await link());
    const person = tenant.person({ first_name: "Barbara", last_name: "Liskov" });
    await quiet.goto(at(`/people?q=liskov`));
    await quiet.getByRole("link", { name: "Barbara Liskov" }).click();
    await quiet.getByRole("button", { name: "Bring up to date now" }).click();
    await pipeline.idle();
    await quiet.goto(at("/activity"));
    // What happened is written down a quarter of a second later.
    const looksAgain = async (): Promise<number> => {
      await quiet.getByRole("link", { name: "look again" }).click();
      return quiet.getByRole("link", { name: "Barbara Liskov" }).count();
    };
    await expect.poll(looksAgain, { timeout: 20_000, interval: 300 }).toBeGreaterThan(0);
    expect(tenant.account(person)?.enabled).toBe(true);
    await plain.close();
  });

  it("a page of another origin changes nothing, even where it gets the cookie", async () => {
    const foreign = await context.newPage();
    // Another port of this machine: the same site for cookies, another origin.
    await foreign.goto(`${tenant.nextcloud.url}/status.php`);
    await foreign.evaluate(`{
      const form = document.createElement("form");
      Object.assign(form, { method: "post", action: ${JSON.stringify(at("/pause"))} });
      document.body.append(form);
      form.submit();
    }`);
    await foreign.getByText("requests of other sites are refused").waitFor();
    expect((await pipeline.ledger.pauses.get(tenant.slug))?.paused).not.toBe(true);
    await foreign.close();
  });
});
