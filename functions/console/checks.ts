import { html } from "hono/html";
import { counted, namingStage, printable } from "../core/text.ts";
import type { Result } from "../doctor/check.ts";
import { allChecks, examine } from "../doctor/doctor.ts";
import type { Pages } from "./app.ts";
import { type ConsoleDependencies, chosenOrganization } from "./dependencies.ts";
import { type Html, hidden, organizationChoice, orProblem, page } from "./page.ts";
import { PATIENCE_MS, within } from "./patience.ts";

/** Checks: what the command `doctor` finds, failures first, each with its fix. They run on request; those that read all people only when asked for. */
export function addChecks(app: Pages, dependencies: ConsoleDependencies): void {
  app.get("/checks", async (c) => {
    const { organization: asked, run, everybody } = c.req.query();
    const slugs = await dependencies.organizations.slugs();
    const form = html`<form method="get" action="/checks">
      ${hidden({ run: "yes" })}${organizationChoice(slugs, asked)}
      <label class="tick"><input type="checkbox" name="everybody" value="yes"${everybody === undefined ? "" : html` checked`}> also those that read all people</label>
      <button>Run the checks</button>
      <p class="quiet">Clavex, Nextcloud and the pipeline between them are looked at; nothing is changed. It takes some seconds.
        ${counted(EVERYBODY, "check reads", "checks read")} all people and their accounts: with many thousands that takes a minute or more.</p>
    </form>`;
    const results = run === undefined ? "" : await orProblem(() => check(dependencies, asked, everybody !== undefined));
    return page(c, "/checks", "Checks", html`${form}${results}`);
  });
}

/** How long all checks may take together, in milliseconds: several wait for each other. */
const MOST_MS = 30_000;

const EVERYBODY = allChecks.filter(({ readsEverybody }) => readsEverybody).length;

async function check(dependencies: ConsoleDependencies, asked: string | undefined, everybody: boolean): Promise<Html> {
  const organization = await chosenOrganization(dependencies, asked);
  // Lists of everybody may take their time; a server that does not answer otherwise is down for whoever looks at this page.
  const { patienceMs = PATIENCE_MS } = dependencies;
  const answerMs = everybody ? undefined : patienceMs;
  const work = examine({ ...(await dependencies.doctorOptions(organization)), everybody, answerMs });
  const results = everybody ? await work : await within("Clavex or Nextcloud", work, MOST_MS);
  return resultList(organization.slug, results, dependencies.stage);
}

const ORDER: Result["status"][] = ["fail", "warn", "skipped", "ok"];
const LABELS: Record<Result["status"], string> = { ok: "ok", warn: "warning", fail: "failed", skipped: "left out" };
const STYLES: Record<Result["status"], string> = { ok: "good", warn: "warning", fail: "bad", skipped: "quiet" };

function resultList(slug: string, results: readonly Result[], stage: string | undefined): Html {
  const sorted = results.toSorted((one, other) => ORDER.indexOf(one.status) - ORDER.indexOf(other.status));
  const count = (status: Result["status"]) => results.filter((each) => each.status === status).length;
  const rows = sorted.map(
    ({ status, title, cause, fix }) => html`<tr>
      <td><span class="${STYLES[status]}">${LABELS[status]}</span></td>
      <td>${printable(title)}${cause === undefined ? "" : html`<p>${printable(cause)}</p>`}</td>
      <td data-label="${fix === undefined ? "" : "What to do"}">${fix === undefined ? "" : printable(namingStage(fix, stage))}</td>
    </tr>`,
  );
  return html`<h2>${slug}: ${counted(results.length, "check")}, ${count("fail")} failed, ${counted(count("warn"), "warning")}</h2>
    <table class="cards"><thead><tr><th scope="col">Result</th><th scope="col">What should be so</th><th scope="col">What to do</th></tr></thead>
    <tbody>${rows}</tbody></table>`;
}
