import { html } from "hono/html";
import { counted, namingStage, printable } from "../core/text.ts";
import type { Names } from "../operator/names.ts";
import { type DeadLetter, type Filter, type Summary, whyItStays } from "../replay/dead-letters.ts";
import { whatToDo } from "../replay/what-to-do.ts";
import type { Pages } from "./app.ts";
import { type ConsoleDependencies, logChange } from "./dependencies.ts";
import { recentNames } from "./names.ts";
import { formToken, goOn, type Html, hidden, organizationChoice, page, person, time, type Visit } from "./page.ts";

/** How many a page shows, and the maximum that one click changes. */
const SHOWN = 50;
/** How many a page reads to find those that its filter matches. */
const MOST_READ = 100;

/** Dead letters by reason: replay or drop one, or all that a filter selects, after a look at whom that concerns. */
export function addDeadLetters(app: Pages, dependencies: ConsoleDependencies): void {
  const names = recentNames(dependencies);
  app.get("/dead-letters", async (c) => {
    const filter = filterOf(c.req.query());
    const slugs = await dependencies.organizations.slugs();
    const { letters: shown, isAll } = await dependencies.deadLetters.look({ ...filter, limit: SHOWN }, MOST_READ);
    await learn(names(), shown);
    const reasons = Map.groupBy(shown, ({ reason }) => reason);
    const sections = Array.from(reasons, ([reason, ofReason]) => section(c, filter, reason, ofReason, names()));
    const more = isAll
      ? ""
      : html`<p>${shown.length === 0 ? html`None of the first ${MOST_READ} is of this kind.` : html`These are the first ${shown.length}.`}
          There are more: they come when these are done, or with another filter. All: <code>${namingStage("npx clavex-nextcloud dead-letters list", c.get("stage"))}</code></p>`;
    const none = shown.length === 0 && isAll ? html`<p class="good">There are no dead letters.</p>` : "";
    return page(c, "/dead-letters", "Dead letters", html`${filterForm(slugs, filter)}${none}${sections}${more}`);
  });
  app.post("/dead-letters/preview", async (c) => {
    const { work, filter } = await asked(c);
    if (!work) return goOn(c, "/dead-letters", MALFORMED, "bad");
    const { letters, isAll } = await dependencies.deadLetters.look({ ...filter, limit: SHOWN }, MOST_READ);
    const meant = letters.filter((each) => work === "drop" || whyItStays(each) === undefined);
    await learn(names(), meant);
    const fields = { ...fieldsOf(filter), work, count: String(meant.length) };
    const what = work === "replay" ? "sent back to the queue" : "removed without another attempt";
    return page(
      c,
      "/dead-letters",
      work === "replay" ? "Replay dead letters?" : "Drop dead letters?",
      html`<p>${counted(meant.length, "dead letter is", "dead letters are")} ${what}. ${
        isAll ? "" : `At most ${SHOWN} at a time: do it again for the rest.`
      }</p>
      ${letterTable(meant, names())}
      <form method="post" action="/dead-letters/change">${formToken(c)}${hidden(fields)}
        ${meant.length === 0 ? "" : html`<button class="${work === "drop" ? "danger" : ""}">${work === "replay" ? "Replay" : "Drop"} ${meant.length}</button>`}
        <a href="/dead-letters">Leave them</a>
      </form>`,
    );
  });
  app.post("/dead-letters/change", async (c) => {
    const { work, filter, count } = await asked(c);
    if (!work || count === undefined) return goOn(c, "/dead-letters", MALFORMED, "bad");
    // Only as many as were shown; those refused again meanwhile come after them.
    const summary = await dependencies.deadLetters[work]({ ...filter, limit: count });
    logChange(dependencies, `${work} dead letters`, { ...filter, done: summary.done });
    return goOn(c, "/dead-letters", inWords(work, summary), summary.stopped ? "bad" : "good");
  });
}

function filterOf({ organization, reason, user }: Record<string, string>): Filter {
  return { organization: organization || undefined, reason: reason || undefined, user: user || undefined };
}

function fieldsOf({ organization = "", reason = "", user = "" }: Filter): Record<string, string> {
  return { organization, reason, user };
}

const MALFORMED = "Nothing was done: the form was not complete. Open it again.";

interface Asked {
  work: "replay" | "drop" | undefined;
  filter: Filter;
  /** How many the preview has shown. */
  count: number | undefined;
}

/** What a form says; undefined is what no form of ours says. */
async function asked(c: Visit): Promise<Asked> {
  const body = await c.req.parseBody();
  const texts = Object.fromEntries(Object.entries(body).map(([name, value]) => [name, String(value)]));
  const count = /^\d{1,3}$/.test(texts.count ?? "") ? Number(texts.count) : undefined;
  return {
    work: (["replay", "drop"] as const).find((each) => each === texts.work),
    filter: filterOf(texts),
    count: count !== undefined && count >= 1 && count <= SHOWN ? count : undefined,
  };
}

function inWords(work: "replay" | "drop", { done, stayed, stopped }: Summary): string {
  const verb = work === "replay" ? "sent back; each disappears when its job has succeeded" : "dropped";
  const parts = [`${counted(done, "dead letter")} ${verb}`];
  if (stayed.length > 0) parts.push(`${stayed.length} stayed: ${stayed[0]?.why}`);
  if (stopped) parts.push("it stopped before the end: do it again to go on");
  return `${parts.join("; ")}.`;
}

const learn = (names: Names, letters: readonly DeadLetter[]): Promise<void> =>
  names.learn(letters.map(({ organization, subject }) => ({ organization, subject })));

function filterForm(slugs: readonly string[], { organization, reason = "" }: Filter): Html {
  return html`<form method="get" action="/dead-letters">
    ${organizationChoice(slugs, organization, true)}
    <label>Reason <input name="reason" value="${reason}" autocomplete="off"></label>
    <button class="second">Filter</button>
  </form>`;
}

function section(c: Visit, filter: Filter, reason: string, letters: readonly DeadLetter[], names: Names): Html {
  const fields = fieldsOf({ ...filter, reason });
  return html`<h2><code>${reason}</code>: ${letters.length}</h2>
    <p>${namingStage(whatToDo(reason), c.get("stage"))}</p>
    <div class="actions">${changes(c, fields, "all of this reason")}</div>
    ${letterTable(letters, names, (letter) => {
      const { organization, subject } = letter;
      return html`<div class="actions">${changes(c, fieldsOf({ organization, user: subject, reason }), names.of(letter)?.name ?? subject)}</div>`;
    })}`;
}

function changes(c: Visit, fields: Record<string, string>, whose: string): Html {
  const one = (work: string, label: string, kind: string) =>
    html`<form method="post" action="/dead-letters/preview">${formToken(c)}${hidden({ ...fields, work })}
      <button class="${kind}" aria-label="${label} ${printable(whose)}">${label}</button></form>`;
  return html`${one("replay", "Replay", "")}${one("drop", "Drop", "second")}`;
}

function letterTable(letters: readonly DeadLetter[], names: Names, actions?: (letter: DeadLetter) => Html): Html {
  if (letters.length === 0) return html``;
  const rows = letters.map((letter) => {
    const { organization, subject, message, attempts, lastAt, replayedAt } = letter;
    return html`<tr>
      <td>${person(organization, subject, names.of(letter)?.name)} <span class="quiet">${organization}</span></td>
      <td>${printable(message)}${replayedAt === undefined ? "" : html` <span class="warning">(sent back, on its way)</span>`}</td>
      <td data-label="Last refused">${time(lastAt)}, ${counted(attempts, "attempt")}</td>
      ${actions ? html`<td>${actions(letter)}</td>` : ""}
    </tr>`;
  });
  return html`<table class="cards"><thead><tr><th scope="col">Person</th><th scope="col">Why</th><th scope="col">Last refused</th>${actions ? html`<th scope="col">Do</th>` : ""}</tr></thead><tbody>${rows}</tbody></table>`;
}
