import type { Context } from "hono";
import { html } from "hono/html";
import { Failure } from "../core/failure.ts";
import { printable } from "../core/text.ts";
import type { Session } from "./access.ts";

/** Text for a page: `html` escapes everything interpolated into it. */
export type Html = ReturnType<typeof html>;

/** A request of a browser that was let in. */
export type Visit = Context<{ Variables: { session: Session; stage: string | undefined } }>;

/** The pages, in the order of the navigation. */
const PAGES = {
  "/": "Status",
  "/people": "People",
  "/plan": "Plan",
  "/dead-letters": "Dead letters",
  "/activity": "Activity",
  "/checks": "Checks",
} as const;
export type Path = keyof typeof PAGES;

/** What the browser's scripts may do: no code from attributes, nothing from elsewhere. */
const HTMX = JSON.stringify({ mode: "same-origin", inlineScriptNonce: "none" });

/** A page of the console around its own part. What the last request had to say stands above it, once. */
export function page(c: Visit, here: Path | undefined, title: string, body: Html): Response | Promise<Response> {
  const session = c.get("session");
  const { notice } = session;
  session.notice = undefined;
  const said = notice && html`<div class="notice ${notice.kind}" role="status"><p>${printable(notice.text)}</p></div>`;
  return c.html(frame(title, c.get("stage"), html`${navigation(here)}`, html`<h1>${title}</h1>${said}${body}`));
}

/** A page for somebody who was not let in. */
export function plainPage(
  c: Context,
  status: 401 | 404 | 500,
  title: string,
  body: Html,
): Response | Promise<Response> {
  return c.html(frame(title, undefined, undefined, html`<h1>${title}</h1>${body}`), status);
}

/** Leads on to the first page from a page of ours. */
export function onwardPage(c: Context): Response | Promise<Response> {
  c.header("Refresh", "0; url=/");
  return c.html(frame("Welcome", undefined, undefined, html`<h1>Welcome</h1><p><a href="/">Status</a></p>`));
}

function frame(title: string, stage: string | undefined, menu: Html | undefined, main: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="htmx-config" content="${HTMX}">
<title>${title} - clavex-nextcloud</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/console.css">
<script src="/assets/htmx.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><p>clavex-nextcloud ${stage === undefined ? "" : html`<span class="stage">stage ${stage}</span>`}</p>${menu}</header>
<main id="main" tabindex="-1">${main}</main>
</body>
</html>`;
}

function navigation(here: Path | undefined): Html {
  const links = Object.entries(PAGES).map(
    ([path, name]) => html`<li><a href="${path}"${path === here ? html` aria-current="page"` : ""}>${name}</a></li>`,
  );
  return html`<nav aria-label="Pages"><ul>${links}</ul></nav>`;
}

/** What a form that changes something carries. */
export function formToken(c: Visit): Html {
  return html`<input type="hidden" name="form" value="${c.get("session").form}">`;
}

/** A button that changes something, with what the server has to know. */
export function button(
  c: Visit,
  action: string,
  label: string,
  { fields = {}, kind = "" }: { fields?: Record<string, string>; kind?: "" | "second" | "danger" } = {},
): Html {
  return html`<form method="post" action="${action}">${formToken(c)}${hidden(fields)}<button class="${kind}">${label}</button></form>`;
}

export function hidden(fields: Record<string, string>): Html[] {
  return Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`);
}

/** A choice of organizations, where there are several; nothing where there is one. */
export function organizationChoice(slugs: readonly string[], chosen: string | undefined, any = false): Html | "" {
  if (slugs.length < 2) return "";
  const options = slugs.map((slug) => html`<option${slug === chosen ? html` selected` : ""}>${slug}</option>`);
  const all = any ? html`<option value="">all</option>` : "";
  return html`<label>Organization <select name="organization">${all}${options}</select></label>`;
}

/** Goes on with another page, which begins with what is said. */
export function goOn(c: Visit, path: string, text: string, kind: "good" | "bad" = "good"): Response {
  c.get("session").notice = { kind, text };
  return c.redirect(path, 303);
}

/** A failure as people read it. */
export function problem(error: Failure): Html {
  const fix = error.fix === undefined ? "" : html`<p>${printable(error.fix)}</p>`;
  return html`<div class="notice bad"><p>${printable(error.message)}</p>${fix}</div>`;
}

/** Does a part of a page; one that fails says why in its place, and the rest of the page stands. */
export async function orProblem(work: () => Promise<Html>): Promise<Html> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Failure) return problem(error);
    throw error;
  }
}

/** A time as the commands print it, for machines too. */
export function time(milliseconds: number): Html {
  const text = new Date(milliseconds).toISOString();
  return html`<time datetime="${text}">${text.slice(0, 19).replace("T", " ")} UTC</time>`;
}

/** The path to somebody's page. */
export function personPath(organization: string, subject: string): string {
  return `/people/${encodeURIComponent(organization)}/${encodeURIComponent(subject)}`;
}

/** Somebody with a link to their page: the name where it is known, else the id. */
export function person(organization: string, subject: string, name: string | undefined): Html {
  const path = personPath(organization, subject);
  if (name === undefined || name === "") return html`<a href="${path}"><code>${subject}</code></a>`;
  return html`<a href="${path}">${printable(name)}</a>`;
}
