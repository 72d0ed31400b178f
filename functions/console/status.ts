import { html } from "hono/html";
import type { LastRun } from "../core/schedule.ts";
import { assess, type Concern, type OrganizationStatus, type WaitingJobs } from "../core/status.ts";
import { counted, namingStage, printable, upTo } from "../core/text.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { effectOfPause, setPaused } from "../operator/pause.ts";
import { readStatus, type StatusSources } from "../operator/status.ts";
import type { Mode } from "../reconcile/drift-report.ts";
import type { Pages } from "./app.ts";
import { type ConsoleDependencies, chosenOrganization, logChange } from "./dependencies.ts";
import { button, goOn, type Html, page, time, type Visit } from "./page.ts";
import { followRun } from "./runs.ts";

/** How many dead letters and waiting edits are counted. */
const COUNTED_TO = 50;

/** Status: one sentence, what to do next, and each organization's numbers. Ledger and queue are all that is read. */
export function addStatus(app: Pages, dependencies: ConsoleDependencies): void {
  app.get("/", async (c) => {
    const status = await readStatus(
      { ...sourcesOf(dependencies), countTo: COUNTED_TO },
      await dependencies.organizations.slugs(),
    );
    const { sentence, inSync, concerns } = assess(status);
    const { lines } = (await dependencies.readiness?.()) ?? { lines: [] };
    return page(
      c,
      "/",
      "Status",
      html`
        ${status.organizations.length === 0 ? html`<p class="lead warning">No organization is configured: see docs/configuration.md.</p>` : html`<p class="lead ${inSync ? "good" : "warning"}">${printable(sentence)}</p>`}
        ${concerns.length === 0 ? "" : html`<h2>What to do next</h2><ul>${concerns.map((each) => concernItem(each, dependencies.stage))}</ul>`}
        ${status.organizations.every(({ jobs }) => jobs !== undefined) ? "" : html`<p>Jobs of all organizations: ${waitingJobs(status.jobs)}</p>`}
        ${status.organizations.map((each) => organizationSection(c, each))}
        <h2>Servers</h2>
        ${
          dependencies.readiness === undefined
            ? BREAKERS_OF_STAGE
            : html`<ul>${lines.map((line) => html`<li>${printable(line)}</li>`)}</ul>`
        }`,
    );
  });
  app.post("/pause", (c) => changePause(c, dependencies, true));
  app.post("/resume", (c) => changePause(c, dependencies, false));
  app.post("/reconcile", async (c) => {
    const { organization: slug, mode } = await c.req.parseBody();
    const { slug: known } = await chosenOrganization(dependencies, String(slug));
    const chosen: Mode = mode === "full" ? "full" : "light";
    logChange(dependencies, `${chosen} reconciliation`, { organization: known });
    return followRun(c, dependencies, known, dependencies.reconcile(known, chosen), "/");
  });
}

/** Circuit breakers are in the memory of whoever works on the jobs. */
const BREAKERS_OF_STAGE = html`<p>Circuit breakers are not known here: each container of the worker has its own. Which server is away, and
  why, say the <a href="/activity?result=retried">jobs that are tried again</a> and the last runs above; the stage's alarms tell when it lasts.
  <a href="/checks?run=yes">Checks</a> asks both servers now.</p>`;

/** The logs of a stage are read for their own page only: each look costs. */
function sourcesOf(dependencies: ConsoleDependencies): StatusSources {
  const { activities, ...rest } = dependencies;
  return dependencies.stage === undefined ? { ...rest, activities } : rest;
}

async function changePause(c: Visit, dependencies: ConsoleDependencies, paused: boolean): Promise<Response> {
  const { organization: slug } = await c.req.parseBody();
  const organization = await chosenOrganization(dependencies, String(slug));
  const { ledger, startsPaused, now = Date.now } = dependencies;
  const { pauses } = ledger;
  const isChanged = await setPaused(
    { pauses, isPaused: createAskPaused(ledger, startsPaused), now },
    organization,
    paused,
  );
  if (!isChanged) return goOn(c, "/", `${organization.slug} is ${paused ? "paused already" : "not paused"}.`, "bad");
  logChange(dependencies, paused ? "pause" : "resume", { organization: organization.slug });
  const done = `${organization.slug} is ${paused ? "paused" : "resumed"}`;
  return goOn(c, "/", `${done}: ${effectOfPause(organization, paused)}.`);
}

/** Our pages, in place of the commands that do the same. */
const LINKS: Partial<Record<Concern["kind"], [path: string, label: string]>> = {
  leavers: ["/dead-letters", "Dead letters"],
  held: ["/plan", "Plan"],
  waiting: ["/activity?result=retried", "Activity"],
  runs: ["/checks", "Checks"],
  "dead-letters": ["/dead-letters", "Dead letters"],
  unread: ["/dead-letters?reason=job-unreadable", "Dead letters"],
  paused: ["/plan", "Plan"],
  "not-reconciled": ["/plan", "Plan"],
  "under-way": ["/activity", "Activity"],
  unusable: ["/checks", "Checks"],
};

function concernItem({ kind, organization, sentence, fixes }: Concern, stage: string | undefined): Html {
  const link = LINKS[kind];
  const separator = link?.[0].includes("?") ? "&" : "?";
  const query = organization === undefined ? "" : `${separator}organization=${encodeURIComponent(organization)}`;
  return html`<li>${printable(sentence.charAt(0).toUpperCase() + sentence.slice(1))}.
    ${link ? html`<a href="${link[0]}${query}">${link[1]}</a>` : ""}
    ${fixes.map((fix) => html`<pre>${namingStage(fix, stage)}</pre>`)}</li>`;
}

function organizationSection(c: Visit, status: OrganizationStatus): Html {
  const { organization, unusable, readable, paused } = status;
  if (unusable !== undefined)
    return html`<h2>${organization}</h2><p class="bad">Its configuration cannot be used: ${printable(unusable)}</p>`;
  const fields = { organization };
  const run = (mode: Mode) =>
    button(c, "/reconcile", `Reconcile now (${mode})`, { fields: { ...fields, mode }, kind: "second" });
  return html`<h2>${organization}${paused ? " (paused)" : ""}</h2>
    <dl>${rowsOf(status).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    <div class="actions">
      ${readable && !paused ? [run("light"), run("full")] : ""}
      ${
        paused
          ? button(c, "/resume", `Resume ${organization}`, { fields })
          : button(c, "/pause", `Pause ${organization}`, { fields, kind: "second" })
      }
    </div>
    ${readable && !paused ? html`<p class="quiet">${costOfRuns(status)}</p>` : ""}`;
}

/** What the two kinds of runs read, and how long the last full one took. */
function costOfRuns({ runs: { full } }: OrganizationStatus): string {
  const people = full?.found?.people;
  const took = full?.result === "done" && full.endedAt !== undefined ? full.endedAt - full.beganAt : undefined;
  const last =
    took === undefined || people === undefined
      ? ""
      : ` (${counted(people, "person", "people")}: ${duration(Math.max(took, 1_000))} last time)`;
  return `Light reads all of Clavex and compares it with the ledger; full also reads every account in Nextcloud${last}. Both queue a job for each difference at once, and the brake still applies. To see first what would change, open Plan.`;
}

function rowsOf(status: OrganizationStatus): [string, Html | string][] {
  const { people, accounts, enabled, jobs, waitsFor, editsWaiting, runs, held, deadLetters, leaversStillEnabled } =
    status;
  const { organization, countedTo } = status;
  const found = runs.full?.found;
  const brakes = [
    ...(held.deprovisions
      ? [html`<span class="bad">deprovisioning is blocked${forWhom(held.deprovisions.people)}</span>`]
      : []),
    ...(held.leaves ? [html`<span class="bad">leaving groups is blocked${forWhom(held.leaves.people)}</span>`] : []),
  ];
  return [
    ["People", people === undefined ? "not counted yet" : String(people)],
    ["Accounts", accountsInWords(accounts, enabled)],
    ["Differences", found ? `${found.differences} at the last full run` : "not known yet"],
    ...(jobs === undefined ? [] : [["Jobs waiting", waitingJobs(jobs)] satisfies [string, string]]),
    ...(waitsFor ? [["They wait for", printable(waitsFor.problem)] satisfies [string, string]] : []),
    ...(editsWaiting > 0
      ? [["Changes waiting for Nextcloud", upTo(editsWaiting, countedTo)] satisfies [string, string]]
      : []),
    ...KINDS.map((kind): [string, Html | string] => [RUNS[kind], runOf(runs[kind])]),
    [
      "Brake",
      brakes.length === 0 ? "holds nobody" : html`${brakes.map((each, index) => [index > 0 ? ", " : "", each])}`,
    ],
    [
      "Dead letters",
      deadLetters === 0
        ? "none"
        : html`<a href="/dead-letters?organization=${encodeURIComponent(organization)}">${upTo(deadLetters, countedTo)}</a>`,
    ],
    ...(leaversStillEnabled > 0
      ? [["Left and still enabled", html`<span class="bad">${leaversStillEnabled}</span>`] satisfies [string, Html]]
      : []),
  ];
}

/** The two are counted by different runs: a light one does not look at accounts. */
function accountsInWords(accounts: number | undefined, enabled: number | undefined): string {
  if (accounts === undefined && enabled === undefined) return "not counted yet";
  const found = accounts === undefined ? [] : [`${accounts} at the last full run`];
  const known = enabled === undefined ? [] : [`${enabled} enabled at the last run`];
  return [...found, ...known].join(", ");
}

function waitingJobs({ jobs, oldestAgeMs }: WaitingJobs): string {
  const age = oldestAgeMs === undefined ? "" : `, the oldest for ${duration(oldestAgeMs)}`;
  return jobs > 0 ? `${jobs}${age}` : "none";
}

const KINDS = ["watch", "light", "full"] as const;
const RUNS = { watch: "Last group watch", light: "Last light run", full: "Last full run" } as const;

const forWhom = (people: number | undefined): string =>
  people === undefined ? "" : ` for ${counted(people, "person", "people")}`;

function runOf(run: LastRun | undefined): Html | string {
  if (!run) return "never";
  const { beganAt, endedAt, result = "under way" } = run;
  const isGood = result === "done" || endedAt === undefined;
  return html`${time(endedAt ?? beganAt)}: <span class="${isGood ? "good" : "bad"}">${endedAt === undefined ? "under way" : result}</span>`;
}

/** A time span in its largest unit. */
function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1_000);
  if (seconds < 120) return counted(seconds, "second");
  return seconds < 7_200 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds / 3_600)} hours`;
}
