import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { getCookie, setCookie } from "hono/cookie";
import { html } from "hono/html";
import { Failure } from "../core/failure.ts";
import { problemOf } from "../telemetry/problem.ts";
import { type Access, equalSecrets, type Session } from "./access.ts";
import { addActivity } from "./activity.ts";
import { addChecks } from "./checks.ts";
import { addDeadLetters } from "./dead-letters.ts";
import type { ConsoleDependencies } from "./dependencies.ts";
import { isLedHere, isThrough, onlyOurHosts, onlyOurOrigin, securityHeaders } from "./guard.ts";
import { htmx } from "./htmx.ts";
import { onwardPage, page, plainPage, problem, type Visit } from "./page.ts";
import { addPeople } from "./people.ts";
import { addPlan } from "./plan.ts";
import { addStatus } from "./status.ts";
import { STYLE } from "./style.ts";

export interface ConsoleOptions {
  access: Access;
  /** The names it is reached by, beside the loopback's and that of `browserUrl`. */
  hosts?: readonly string[];
  /** Where browsers reach it through a proxy: an origin. */
  browserUrl?: string | undefined;
}

/** The routes of the pages. */
export type Pages = Hono<{ Variables: { session: Session; stage: string | undefined } }>;

/** Larger than any form of the console. */
const MOST_BYTES = 64 * 1024;
const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0b57a4"/><path d="M3 8l3 3 7-7" fill="none" stroke="#fff" stroke-width="2"/></svg>`;

/** The operator's pages. Nothing is shown without a session, and nothing is changed without a form of ours. */
export function createConsole(
  dependencies: ConsoleDependencies,
  { access, hosts = [], browserUrl }: ConsoleOptions,
): Hono {
  const app: Pages = new Hono();
  app.use(
    "*",
    securityHeaders,
    onlyOurHosts([...hosts, ...(browserUrl === undefined ? [] : [new URL(browserUrl).hostname])]),
  );
  // A program that can read the state folder asks for a link: it is no browser, and no other site knows the token.
  app.post("/links", (c) => {
    const token = /^Bearer (\S+)$/.exec(c.req.header("authorization") ?? "")?.[1];
    if (token === undefined || !access.mayInvite(token)) return c.json({ error: "unauthorized" }, 401);
    return c.json({ path: `/?token=${access.invite()}` });
  });
  app.use("*", onlyOurOrigin(browserUrl));
  addAssets(app);
  app.use("*", async (c, next) => {
    // Whoever looks with HEAD whether there is something does not use the link up.
    const invitation = c.req.path === "/" && c.req.method === "GET" ? c.req.query("token") : undefined;
    if (invitation !== undefined) return enter(c, access, invitation, browserUrl);
    const session = access.session(getCookie(c, access.cookie));
    if (!session) return refuse(c, dependencies.stage);
    c.set("session", session);
    c.set("stage", dependencies.stage);
    return next();
  });
  app.use("*", bodyLimit({ maxSize: MOST_BYTES, onError: tooLarge }), async (c, next) => {
    if (c.req.method === "GET" || c.req.method === "HEAD") return next();
    const { form } = await c.req.parseBody().catch(() => ({ form: undefined }));
    if (typeof form === "string" && equalSecrets(form, c.get("session").form)) return next();
    return c.text("the form is not one of this session: open the page again\n", 403);
  });
  for (const add of [addStatus, addPeople, addPlan, addDeadLetters, addActivity, addChecks]) add(app, dependencies);
  app.all("*", (c) => plainPage(c, 404, "There is no such page", html`<p><a href="/">Status</a></p>`));
  app.onError((error, c) => {
    const visit = c as Visit;
    if (error instanceof Failure && visit.get("session")) {
      visit.status(error.failureClass === "transient" ? 503 : 404);
      const part = problem(error);
      return isPart(c) ? c.html(part) : page(visit, undefined, "It failed", part);
    }
    dependencies.log.error("console failed", { path: c.req.path, ...problemOf(error) });
    return plainPage(c, 500, "It failed", html`<p>The log says why.</p><p><a href="/">Status</a></p>`);
  });
  return app as unknown as Hono;
}

const tooLarge = (c: Context): Response => c.text("the form is larger than any of this console\n", 413);

/** Open to every browser: it holds no personal data. */
function addAssets(app: Pages): void {
  app.get("/assets/console.css", (c) => c.body(STYLE, 200, { "Content-Type": "text/css; charset=utf-8" }));
  app.get("/assets/htmx.js", (c) => c.body(htmx(), 200, { "Content-Type": "text/javascript; charset=utf-8" }));
  app.get("/assets/icon.svg", (c) => c.body(ICON, 200, { "Content-Type": "image/svg+xml" }));
}

/** Lets a browser in; the secret is used up, and removed from the address bar. */
function enter(
  c: Context,
  access: Access,
  invitation: string,
  browserUrl: string | undefined,
): Response | Promise<Response> {
  const id = access.enter(invitation);
  if (id === undefined) return refuse(c, undefined);
  // The loopback has no TLS: its cookie could not be secure.
  const secure = isThrough(browserUrl, c) && browserUrl.startsWith("https:");
  setCookie(c, access.cookie, id, { httpOnly: true, sameSite: "Strict", path: "/", secure });
  // After the login page of a proxy, or from a link on another page, a redirect would come without the cookie.
  if (isLedHere(c)) return onwardPage(c);
  return c.redirect("/", 303);
}

/** Whether a page on the screen renews a part of itself. */
const isPart = (c: Context): boolean => c.req.header("hx-request") !== undefined;

function refuse(c: Context, stage: string | undefined): Response | Promise<Response> {
  if (isPart(c)) {
    const why = html`<div class="notice bad"><p>This session has ended, and nothing is renewed here any more.</p></div>`;
    return c.html(why, 401);
  }
  const command = `npx clavex-nextcloud console${stage === undefined ? "" : ` --stage ${stage}`}`;
  return plainPage(
    c,
    401,
    "Open the console with its command",
    html`<p>This console opens with a link that is good for one visit. For a new one:</p><pre>${command}</pre>`,
  );
}
