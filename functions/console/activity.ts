import { html } from "hono/html";
import { uuidSchema } from "../clavex/user.ts";
import { ACTIVITY_RESULTS, type Activity, type ActivityFilter, activityInWords } from "../core/activity.ts";
import { printable } from "../core/text.ts";
import type { Names, Somebody } from "../operator/names.ts";
import type { Pages } from "./app.ts";
import type { ConsoleDependencies } from "./dependencies.ts";
import { recentNames } from "./names.ts";
import { type Html, organizationChoice, page, person, time, type Visit } from "./page.ts";

/** How many events a page shows. */
const SHOWN = 50;
/** How often a page looks for new ones: at the state file, and at CloudWatch, which counts. */
const EVERY = { machine: "2s", stage: "10s" } as const;

/** Activity: the last events, with the filters of the command `activity`; they renew themselves. */
export function addActivity(app: Pages, dependencies: ConsoleDependencies): void {
  const names = recentNames(dependencies);
  app.get("/activity", async (c) => {
    const filter = filterOf(c);
    const slugs = await dependencies.organizations.slugs();
    const live = new URL(c.req.url).search;
    const every = dependencies.stage === undefined ? EVERY.machine : EVERY.stage;
    return page(
      c,
      "/activity",
      "Activity",
      html`
        ${filterForm(slugs, filter)}
        <div id="events" hx-get="/activity/events${live}" hx-trigger="every ${every}" hx-swap="innerHTML">
          ${await events(dependencies, names(), filter)}
        </div>
        <p class="quiet">The newest ${SHOWN} stand here, and come by themselves. Without JavaScript: <a href="/activity${live}">look again</a>.</p>`,
    );
  });
  app.get("/activity/events", async (c) => c.html(await events(dependencies, names(), filterOf(c))));
}

function filterOf(c: Visit): ActivityFilter {
  const { organization = "", user = "", result = "" } = c.req.query();
  return {
    organization: organization || undefined,
    // A text that is not an id matches nobody.
    subject: user.trim() === "" ? undefined : (uuidSchema.safeParse(user.trim()).data ?? user.trim()),
    result: ACTIVITY_RESULTS.find((each) => each === result),
  };
}

function filterForm(slugs: readonly string[], { organization, subject = "", result }: ActivityFilter): Html {
  const results = ACTIVITY_RESULTS.map(
    (each) => html`<option${each === result ? html` selected` : ""}>${each}</option>`,
  );
  return html`<form method="get" action="/activity">
    ${organizationChoice(slugs, organization, true)}
    <label>Result <select name="result"><option value="">all</option>${results}</select></label>
    <label>Person (id) <input name="user" value="${subject}" autocomplete="off"></label>
    <button class="second">Filter</button>
  </form>`;
}

async function events(dependencies: ConsoleDependencies, names: Names, filter: ActivityFilter): Promise<Html> {
  const { activities } = await dependencies.activities.last(filter, SHOWN);
  await names.learn(activities.flatMap((each) => somebody(each) ?? []));
  return eventTable(activities.toReversed(), names, (await dependencies.organizations.slugs()).length > 1);
}

function somebody({ organization, subject }: Activity): Somebody | undefined {
  return subject === undefined ? undefined : { organization, subject };
}

/**
 * Events as a table.
 *
 * @param names undefined where everybody knows who it is about
 */
export function eventTable(activities: readonly Activity[], names: Names | undefined, several = false): Html {
  if (activities.length === 0) return html`<p>Nothing of this kind has happened lately.</p>`;
  const rows = activities.map((activity) => {
    const { at, organization, result, cause, kind } = activity;
    const who = somebody(activity);
    return html`<tr>
      <td>${time(at)}</td>
      ${several ? html`<td data-label="Organization">${organization}</td>` : ""}
      <td data-label="Result"><span class="${STYLES[result] ?? ""}">${result}</span></td>
      ${names ? html`<td>${who ? person(who.organization, who.subject, names.of(who)?.name) : ""}</td>` : ""}
      <td>${kind === "run" || cause === "" ? "" : `${printable(cause)}: `}${printable(activityInWords(activity))}</td>
    </tr>`;
  });
  return html`<table class="cards"><thead><tr>
    <th scope="col">Time</th>${several ? html`<th scope="col">Organization</th>` : ""}<th scope="col">Result</th>${names ? html`<th scope="col">Person</th>` : ""}<th scope="col">What happened</th>
  </tr></thead><tbody>${rows}</tbody></table>`;
}

const STYLES: Partial<Record<Activity["result"], string>> = {
  applied: "good",
  done: "good",
  parked: "bad",
  failed: "bad",
  refused: "bad",
  held: "bad",
  retried: "warning",
};
