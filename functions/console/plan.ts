import { html } from "hono/html";
import type { Held } from "../core/brake.ts";
import { counted, printable } from "../core/text.ts";
import {
  applyPlan,
  isFresh,
  isOverLimit,
  losers,
  losses,
  makePlan,
  OUTDATED,
  type Plan,
  refusal,
} from "../operator/apply.ts";
import { describeDrift, MARKS } from "../operator/describe.ts";
import type { FullDrift } from "../reconcile/drift-report.ts";
import { newSecret } from "./access.ts";
import type { Pages } from "./app.ts";
import { type ConsoleDependencies, chosenOrganization, logChange } from "./dependencies.ts";
import {
  formToken,
  goOn,
  type Html,
  hidden,
  organizationChoice,
  orProblem,
  page,
  person,
  time,
  type Visit,
} from "./page.ts";
import { followRun } from "./runs.ts";

/** A plan as it was shown; its id tells the form that it is of this one. */
type Shown = Plan & { id: string };

/** How many people a page shows of each part. */
const SHOWN = 200;

/** Plan: what a full reconciliation would do, computed on request; and applying it. */
export function addPlan(app: Pages, dependencies: ConsoleDependencies): void {
  const { now = Date.now } = dependencies;
  const plans = new Map<string, Shown>();
  const current = (slug: string): Shown | undefined => {
    const shown = plans.get(slug);
    return shown && isFresh(shown, now()) ? shown : undefined;
  };

  app.get("/plan", async (c) => {
    const { organization: asked, kind, compute, from } = c.req.query();
    const slugs = await dependencies.organizations.slugs();
    const body = await orProblem(async () => {
      const organization = await chosenOrganization(dependencies, asked);
      const { slug } = organization;
      if (compute !== undefined) {
        const reading = { ledger: dependencies.ledger, clients: dependencies.clients.of(organization), now };
        plans.set(slug, { id: newSecret(), ...(await makePlan(organization, reading)) });
      }
      const shown = current(slug);
      return shown ? planned(c, shown, kind, pageStart(from)) : html``;
    });
    const form = html`<form method="get" action="/plan">
      ${hidden({ compute: "yes" })}${organizationChoice(slugs, asked)}
      <button>Compute the plan</button>
      <p class="quiet">All of Clavex and Nextcloud is read for it, which takes a while; nothing is changed.</p>
    </form>`;
    return page(c, "/plan", "Plan", html`${form}${body}`);
  });

  app.post("/plan/apply", async (c) => {
    const fields = await c.req.parseBody();
    const { slug } = await chosenOrganization(dependencies, String(fields.organization));
    const path = `/plan?organization=${encodeURIComponent(slug)}`;
    const shown = plans.get(slug);
    const typed = String(fields.number ?? "");
    const why = shown && shown.id === fields.plan ? refusal([shown], typed, now()) : OUTDATED;
    if (!shown || why !== undefined) return goOn(c, path, why ?? OUTDATED, "bad");
    const allowed = fields.allow === "yes";
    logChange(dependencies, "apply the plan", { organization: slug, losing: losers([shown]), allowed });
    // Before it is done: a form that is sent twice must not do it twice.
    plans.delete(slug);
    const run = applyPlan(dependencies.reconcile, shown, { allow: allowed });
    return followRun(c, dependencies, slug, run, `/activity?organization=${encodeURIComponent(slug)}`);
  });
}

const KINDS: Record<FullDrift["kind"], string> = {
  create: "to create",
  update: "to change",
  adopt: "to take note of",
  deprovision: "to disable",
  delete: "to delete",
};

/** Where a page of the list begins; at the beginning for what is no such place. */
function pageStart(from: string | undefined): number {
  return /^\d{1,7}$/.test(from ?? "") ? Number(from) : 0;
}

function planned(c: Visit, shown: Shown, kind: string | undefined, from: number): Html {
  const { report, readAt } = shown;
  const { organization, people, accounts, differences, notes, held, heldLeaves } = report;
  const { closing, leaving } = losses(report);
  const losing = new Set([...closing, ...leaving]);
  const others = differences.filter((each) => !losing.has(each));
  const chosen = kind === undefined || kind === "" ? others : others.filter((each) => each.kind === kind);
  const count = (each: FullDrift["kind"]) => differences.filter((one) => one.kind === each).length;
  const summary = (Object.keys(KINDS) as FullDrift["kind"][])
    .filter((each) => count(each) > 0)
    .map((each) => `${count(each)} ${KINDS[each]}`);
  return html`<h2>${organization}, as of ${time(readAt)}</h2>
    <p>${people} people in Clavex, ${accounts} accounts of theirs in Nextcloud.
      ${summary.length === 0 ? "Nothing to change." : `${summary.join(", ")}.`}</p>
    ${losing.size === 0 ? "" : takenAway([...closing, ...leaving], organization, [held, heldLeaves])}
    ${differences.length === 0 ? "" : applyForm(c, shown, losing.size)}
    ${others.length === 0 ? "" : html`<h3>What else changes</h3>${kindForm(organization, kind)}`}
    ${driftTable(chosen.slice(from, from + SHOWN), organization)}
    ${pager(organization, kind, from, chosen.length)}
    ${
      notes.length === 0
        ? ""
        : html`<h3>Left as it is</h3><ul>${notes.slice(0, SHOWN).map(({ subject, note }) => html`<li>${person(organization, subject, undefined)}: ${printable(note)}</li>`)}</ul>`
    }`;
}

function takenAway(losing: readonly FullDrift[], organization: string, held: readonly (Held | undefined)[]): Html {
  const brakes = held.map((each) => (each ? html`<p class="bad">Held: ${printable(each.explanation)}</p>` : ""));
  return html`<section class="apart" aria-labelledby="losing"><h3 id="losing">${counted(losing.length, "person loses", "people lose")} access or a group</h3>
    ${brakes}${driftTable(losing.slice(0, SHOWN), organization)}
    ${losing.length > SHOWN ? html`<p>The first ${SHOWN} are shown; all: <code>npx clavex-nextcloud plan</code></p>` : ""}</section>`;
}

function applyForm(c: Visit, { id, report }: Shown, losing: number): Html {
  const { organization, held, heldLeaves } = report;
  const isHeld = isOverLimit(held) || isOverLimit(heldLeaves);
  const number =
    losing === 0
      ? ""
      : html`<label>Type ${losing} to take access or groups away from ${counted(losing, "person", "people")}
          <input name="number" inputmode="numeric" autocomplete="off" required pattern="${losing}"></label>`;
  const allow = isHeld
    ? html`<label><span><input type="checkbox" name="allow" value="yes"> let them all through the brake; without it, those whom it holds keep what they have</span></label>`
    : "";
  return html`<form method="post" action="/plan/apply">${formToken(c)}${hidden({ organization, plan: id })}
    ${number}${allow}<button class="${losing > 0 ? "danger" : ""}">Apply the plan</button>
    <p class="quiet">A job is queued for each of these people; it reads the current state before it changes anything.</p></form>`;
}

function kindForm(organization: string, chosen: string | undefined): Html {
  const options = (["create", "update", "adopt"] as const).map(
    (kind) => html`<option value="${kind}"${kind === chosen ? html` selected` : ""}>${KINDS[kind]}</option>`,
  );
  return html`<form method="get" action="/plan">${hidden({ organization })}
    <label>Kind <select name="kind"><option value="">all</option>${options}</select></label><button class="second">Filter</button></form>`;
}

function driftTable(drifts: readonly FullDrift[], organization: string): Html {
  if (drifts.length === 0) return html``;
  const rows = drifts.map(
    (
      drift,
    ) => html`<tr><td><code aria-hidden="true">${MARKS[drift.kind]}</code> ${person(organization, drift.subject, drift.name)}</td>
      <td data-label="Kind">${KINDS[drift.kind]}</td>
      <td><ul>${describeDrift(drift).map((line) => html`<li><code>${line}</code></li>`)}</ul></td></tr>`,
  );
  return html`<table class="cards"><thead><tr><th scope="col">Person</th><th scope="col">Kind</th><th scope="col">Changes</th></tr></thead><tbody>${rows}</tbody></table>`;
}

function pager(organization: string, kind = "", from: number, all: number): Html {
  if (all <= SHOWN) return html``;
  const to = (start: number, label: string): Html =>
    html`<a href="/plan?${new URLSearchParams({ organization, kind, from: String(start) }).toString()}">${label}</a>`;
  return html`<p>${from + 1} to ${Math.min(from + SHOWN, all)} of ${all}.
    ${from > 0 ? to(Math.max(0, from - SHOWN), "Before") : ""} ${from + SHOWN < all ? to(from + SHOWN, "Next") : ""}</p>`;
}
