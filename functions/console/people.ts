import { html } from "hono/html";
import { uuidSchema } from "../clavex/user.ts";
import { ATTRIBUTES } from "../core/account.ts";
import { desiredGroups, displayName } from "../core/desired.ts";
import type { Organization } from "../core/organization.ts";
import type { Person } from "../core/person.ts";
import { printable } from "../core/text.ts";
import { createContext } from "../doctor/context.ts";
import { type Rehearsal, rehearse } from "../doctor/rehearsal.ts";
import { describeOperations } from "../operator/describe.ts";
import { type Explanation, explainPerson, groupRules } from "../operator/explain.ts";
import { bringUpToDate, QUEUED } from "../operator/provision.ts";
import { eventTable } from "./activity.ts";
import type { Pages } from "./app.ts";
import { type ConsoleDependencies, chosenOrganization, logChange } from "./dependencies.ts";
import {
  button,
  goOn,
  type Html,
  organizationChoice,
  orProblem,
  page,
  person as personLink,
  personPath,
  time,
  type Visit,
} from "./page.ts";

/** How many of those who were found, and how many events of one person, a page shows. */
const SHOWN = 50;
const EVENTS = 20;

/** People: search, and everything about one person. */
export function addPeople(app: Pages, dependencies: ConsoleDependencies): void {
  app.get("/people", async (c) => {
    const { organization: asked, q = "" } = c.req.query();
    const slugs = await dependencies.organizations.slugs();
    const text = q.trim();
    const subject = uuidSchema.safeParse(text);
    if (subject.success) return c.redirect(personPath(asked || (slugs[0] ?? ""), subject.data), 303);
    const form = html`<form method="get" action="/people">
      ${organizationChoice(slugs, asked)}
      <label>Name, e-mail address or id <input type="search" name="q" value="${text}" autocomplete="off"></label>
      <button>Search</button>
    </form>`;
    const found = text === "" ? "" : await orProblem(() => search(dependencies, asked, text));
    return page(c, "/people", "People", html`${form}${found}`);
  });
  app.get("/people/:organization/:subject{[0-9A-Fa-f-]{36}}", async (c) => {
    const { organization, subject } = await whom(c, dependencies);
    const { explanation, failed } = await tryToExplain(dependencies, organization, subject, c.req.query("fresh"));
    const name = explanation && nameOf(explanation);
    const path = personPath(organization.slug, subject);
    const { activities } = await dependencies.activities.last({ organization: organization.slug, subject }, EVENTS);
    return page(
      c,
      "/people",
      printable(name ?? subject),
      html`${failed ?? ""}${explanation ? explained(explanation, path) : ""}
        <h2>What to do</h2>
        <div class="actions">${button(c, `${path}/bring`, "Bring up to date now")}</div>
        <p><a href="${path}/rehearsal">Rehearse the first login</a>: what it would make, beside what the pipeline makes</p>
        <h2>Last events</h2>${eventTable(activities.toReversed(), undefined)}`,
    );
  });
  app.post("/people/:organization/:subject{[0-9A-Fa-f-]{36}}/bring", async (c) => {
    const { organization, subject } = await whom(c, dependencies);
    await bringUpToDate(dependencies.queue, organization, subject);
    logChange(dependencies, "bring up to date", { organization: organization.slug, subject });
    return goOn(c, personPath(organization.slug, subject), QUEUED);
  });
  app.get("/people/:organization/:subject{[0-9A-Fa-f-]{36}}/rehearsal", async (c) => {
    const { organization, subject } = await whom(c, dependencies);
    const back = html`<p><a href="${personPath(organization.slug, subject)}">Back</a></p>`;
    const result = await orProblem(() => rehearsal(dependencies, organization, subject));
    return page(c, "/people", "Rehearsal of the first login", html`${back}${result}`);
  });
}

/** @throws {ConfigurationError} when there is no such organization */
async function whom(
  c: Visit,
  dependencies: ConsoleDependencies,
): Promise<{ organization: Organization; subject: string }> {
  const organization = await chosenOrganization(dependencies, c.req.param("organization"));
  return { organization, subject: uuidSchema.parse(c.req.param("subject")) };
}

/** The directory finds by one word; the other words are looked for in what it has found. */
async function search(dependencies: ConsoleDependencies, asked: string | undefined, text: string): Promise<Html> {
  const organization = await chosenOrganization(dependencies, asked);
  const access = dependencies.clients.of(organization).directory;
  if (access.mode !== "api")
    return html`<p>${organization.slug} has no clavex.apiKey: people can be found by their id alone.</p>`;
  const words = text.toLowerCase().split(/\s+/);
  const longest = words.toSorted((one, other) => other.length - one.length)[0] ?? text;
  const people = (await access.directory.search(longest)).filter((each) => {
    const all = `${each.firstName} ${each.lastName} ${each.email}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
  if (people.length === 0) return html`<p role="status">Clavex finds nobody by this.</p>`;
  const rows = people.slice(0, SHOWN).map(
    (each) => html`<tr>
      <td>${personLink(organization.slug, each.subject, displayName(each))}</td>
      <td data-label="E-mail">${printable(each.email)}</td>
      <td data-label="State">${each.erased ? "erased" : each.active ? "active" : "suspended"}</td>
      <td data-label="Id"><code>${each.subject}</code></td>
    </tr>`,
  );
  const more = people.length > SHOWN ? html`<p>These are the first ${SHOWN}: search for more of the name.</p>` : "";
  return html`<table class="cards"><thead><tr><th scope="col">Name</th><th scope="col">E-mail</th><th scope="col">State</th><th scope="col">Id</th></tr></thead>
    <tbody>${rows}</tbody></table>${more}`;
}

/** A system that cannot be read does not affect the rest of the page. */
async function tryToExplain(
  dependencies: ConsoleDependencies,
  organization: Organization,
  subject: string,
  fresh: string | undefined,
): Promise<{ explanation?: Explanation; failed?: Html }> {
  const { ledger, now = Date.now } = dependencies;
  const clients = dependencies.clients.of(organization);
  const access = clients.directory;
  if (access.mode !== "api") {
    const failed = html`<p>${organization.slug} has no clavex.apiKey: only what happened is known.</p>`;
    return { failed };
  }
  let explanation: Explanation | undefined;
  const failed = await orProblem(async () => {
    const person = await access.directory.person(subject);
    const { everyGroup } = access;
    const reading = { ledger, clients, everyGroup, ...(fresh === undefined ? {} : { notBefore: now() }) };
    explanation = await explainPerson(reading, { organization, subject, person });
    return html``;
  });
  return explanation ? { explanation } : { failed };
}

function nameOf({ person, account }: Explanation): string | undefined {
  return (person && displayName(person)) || account?.displayName || undefined;
}

function explained(explanation: Explanation, path: string): Html {
  const { decision, account, namesReadAt } = explanation;
  const { desired } = decision;
  const { operations, notes, refusal } = decision.plan;
  const lines = describeOperations(operations, desired, account);
  const toDo =
    lines.length === 0 && !refusal
      ? html`<p class="good">Nothing to do, everything is in sync.</p>`
      : html`<ul class="plain">${lines.map((line) => html`<li><code>${line}</code></li>`)}</ul>`;
  const refused = refusal
    ? html`<p class="bad">Nothing${lines.length > 0 ? " more" : ""}: ${printable(refusal.message)}</p>`
    : "";
  return html`
    ${comparison(explanation)}
    <p class="quiet">Groups as of ${time(namesReadAt)}. <a href="${path}?fresh=yes">Read them again</a></p>
    ${rules(explanation)}
    <h2>What would be done</h2>${toDo}${refused}
    ${notes.length === 0 ? "" : html`<ul>${notes.map((note) => html`<li>${printable(note)}</li>`)}</ul>`}`;
}

/** Clavex, what should be, and Nextcloud, side by side. */
function comparison({ organization, subject, person, names, account, decision: { desired } }: Explanation): Html {
  const active = desired.state === "active" ? desired : undefined;
  const profile = (key: keyof typeof ATTRIBUTES): [string, string] => {
    const attribute = ATTRIBUTES[key];
    return [
      (active && attribute.text(active.profile)) ?? "left alone",
      account ? (attribute.text(account) ?? "not shown") : "",
    ];
  };
  const rows: [property: string, clavex: string, shouldBe: string, nextcloud: string][] = [
    ["Id", subject, desired.accountId, account?.id ?? "no account"],
    ["State", stateOf(person), desired.state, account ? (account.enabled ? "enabled" : "disabled") : ""],
    ["Name", person ? displayName(person) : "", ...profile("displayName")],
    ["E-mail", person?.email ?? "", ...profile("email")],
    ["Quota", person?.attributes[organization.quota.attribute] ?? "", ...profile("quota")],
    ["Groups", names.join(", ") || "none", wanted(desired), account ? groupNames(desired, account.groups) : ""],
  ];
  return html`<table class="cards"><thead><tr><th scope="col">What</th><th scope="col">Clavex</th><th scope="col">Should be</th><th scope="col">Nextcloud</th></tr></thead>
    <tbody>${rows.map(
      ([property, clavex, shouldBe, nextcloud]) => html`<tr><th scope="row">${property}</th>
        <td data-label="Clavex">${printable(clavex)}</td><td data-label="Should be">${printable(shouldBe)}</td><td data-label="Nextcloud">${printable(nextcloud)}</td></tr>`,
    )}</tbody></table>`;
}

/** Groups by their names as far as these are known: the ids that user_oidc gives them tell people nothing. */
function groupNames(desired: Explanation["decision"]["desired"], gids: readonly string[]): string {
  const names = new Map(desiredGroups(desired).map(({ gid, displayName: name }) => [gid, name]));
  return gids.map((gid) => names.get(gid) ?? gid).join(", ") || "none";
}

function wanted(desired: Explanation["decision"]["desired"]): string {
  if (desired.state !== "active") return "left alone";
  return groupNames(
    desired,
    desiredGroups(desired).map(({ gid }) => gid),
  );
}

function stateOf(person: Person | undefined): string {
  if (!person) return "not in Clavex (any more)";
  return person.erased ? "erased" : person.active ? "active" : "suspended";
}

/** Each group and the quota, with the rule that gave it. */
function rules(explanation: Explanation): Html {
  const { desired } = explanation.decision;
  const groups = groupRules(explanation).map(
    ({ name, why }) => html`<li>${printable(name)}: <span class="quiet">${printable(why)}</span></li>`,
  );
  const quota =
    desired.state !== "active" || desired.profile.quota === undefined
      ? "left alone: no rule gives one"
      : `${ATTRIBUTES.quota.text(desired.profile)} (rule: ${desired.quotaRule})`;
  return html`<h2>Rules</h2><ul>${groups}<li>Quota: <span class="quiet">${printable(quota)}</span></li></ul>`;
}

async function rehearsal(
  dependencies: ConsoleDependencies,
  organization: Organization,
  subject: string,
): Promise<Html> {
  const access = dependencies.clients.of(organization).directory;
  const person = access.mode === "api" ? await access.directory.person(subject) : undefined;
  if (access.mode !== "api" || !person) return html`<p>Clavex has nobody with this id who could log in.</p>`;
  const { value: map } = await access.directory.groups(Number.NEGATIVE_INFINITY);
  const context = createContext(await dependencies.doctorOptions(organization));
  try {
    return rehearsalTable(person, await rehearse(context, { person, map, userinfo: false }));
  } finally {
    await context.close();
  }
}

function rehearsalTable(person: Person, { state, comparisons, refused, notes }: Rehearsal): Html {
  const rows = comparisons.map(
    ({ property, login, pipeline, differs }) => html`<tr><th scope="row">${property}</th>
      <td data-label="A first login makes">${printable(login ?? "(leaves ours)")}</td>
      <td data-label="The pipeline makes">${printable(pipeline)}</td>
      <td><span class="${differs ? "bad" : "good"}">${differs ? "differs" : "the same"}</span></td></tr>`,
  );
  return html`<p>${printable(displayName(person))}</p>
    ${state === "active" ? "" : html`<p>The person is ${state}: the pipeline makes no account, and Clavex lets nobody in.</p>`}
    ${refused === undefined ? "" : html`<p class="bad">The login would be refused: ${printable(refused)}</p>`}
    <table class="cards"><thead><tr><th scope="col">What</th><th scope="col">A first login makes</th><th scope="col">The pipeline makes</th><th scope="col">Result</th></tr></thead><tbody>${rows}</tbody></table>
    <ul>${notes.map((note) => html`<li>${printable(note)}</li>`)}</ul>`;
}
