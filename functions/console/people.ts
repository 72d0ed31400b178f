import { html } from "hono/html";
import { uuidSchema } from "../clavex/user.ts";
import { ATTRIBUTES } from "../core/account.ts";
import { desiredGroups, displayName } from "../core/desired.ts";
import type { Organization } from "../core/organization.ts";
import type { GroupMap, Person, Reading } from "../core/person.ts";
import { printable } from "../core/text.ts";
import { createContext } from "../doctor/context.ts";
import { type Rehearsal, rehearse } from "../doctor/rehearsal.ts";
import { createAskPaused } from "../ledger/pause.ts";
import { describeOperations } from "../operator/describe.ts";
import { type Explanation, explainPerson, groupRules } from "../operator/explain.ts";
import { type Found, findPeople } from "../operator/find-people.ts";
import { bringUpToDate, QUEUED } from "../operator/provision.ts";
import { rememberedGroups } from "../operator/remembered-groups.ts";
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
import { within } from "./patience.ts";

/** How many of those who were found, and how many events of one person, a page shows. */
const SHOWN = 50;
const EVENTS = 20;

/** People: search, and everything about one person. */
export function addPeople(app: Pages, dependencies: ConsoleDependencies): void {
  const groupsOf = createGroupsOf(dependencies);
  app.get("/people", async (c) => {
    const { organization: asked, q = "" } = c.req.query();
    const slugs = await dependencies.organizations.slugs();
    const text = q.trim();
    let found: Found | undefined;
    const failed = await orProblem(async () => {
      if (text !== "") found = await find(dependencies, asked, text);
      return html``;
    });
    if (found?.kind === "person") return c.redirect(personPath(found.organization, found.subject), 303);
    const slug = asked || (slugs[0] ?? "");
    const form = html`<form method="get" action="/people">
      ${organizationChoice(slugs, asked)}
      <label>Name, e-mail address or id <input type="search" name="q" value="${text}" autocomplete="off"></label>
      <button>Search</button>
    </form>`;
    return page(c, "/people", "People", html`${form}${failed}${found ? foundList(slug, found, text) : ""}`);
  });
  app.get("/people/:organization/:subject{[0-9A-Fa-f-]{36}}", async (c) => {
    const asked = await whom(c, dependencies);
    const { organization, subject } = asked;
    const { explanation, failed } = await tryToExplain(dependencies, groupsOf, asked, c.req.query("fresh"));
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
    const { queue, ledger, startsPaused } = dependencies;
    await bringUpToDate({ queue, isPaused: createAskPaused(ledger, startsPaused) }, organization, subject);
    logChange(dependencies, "bring up to date", { organization: organization.slug, subject });
    return goOn(c, personPath(organization.slug, subject), QUEUED);
  });
  app.get("/people/:organization/:subject{[0-9A-Fa-f-]{36}}/rehearsal", async (c) => {
    const asked = await whom(c, dependencies);
    const path = personPath(asked.organization.slug, asked.subject);
    const back = html`<p><a href="${path}">Back</a></p>`;
    const groups = () => groupsOf(asked, c.req.query("fresh"));
    const result = await orProblem(() => rehearsal(dependencies, groups, asked));
    return page(c, "/people", "Rehearsal of the first login", html`${back}${result}`);
  });
}

/** Somebody of an organization. */
interface Whom {
  organization: Organization;
  subject: string;
}

/** @throws {ConfigurationError} when there is no such organization */
async function whom(c: Visit, dependencies: ConsoleDependencies): Promise<Whom> {
  const organization = await chosenOrganization(dependencies, c.req.param("organization"));
  return { organization, subject: uuidSchema.parse(c.req.param("subject")) };
}

/** @throws {Failure} when nobody can be looked for now */
async function find(dependencies: ConsoleDependencies, asked: string | undefined, text: string): Promise<Found> {
  const organization = await chosenOrganization(dependencies, asked);
  const { ledger, patienceMs } = dependencies;
  const looking = { ledger, clients: dependencies.clients.of(organization) };
  return within("The search", findPeople(looking, organization, text), patienceMs);
}

function foundList(slug: string, found: Exclude<Found, { kind: "person" }>, text: string): Html {
  if (found.kind === "nobody") return html`<p role="status">${printable(found.why)}</p>`;
  const { people, more } = found;
  const narrow = more
    ? html`<p class="warning" role="status">200 or more match the longest word of "${printable(text)}", and only the first 200 were looked at: narrow the search with more of the name, or the whole e-mail address.</p>`
    : "";
  if (people.length === 0) return html`${narrow}<p role="status">Clavex finds nobody by this.</p>`;
  const rows = people.slice(0, SHOWN).map(
    (each) => html`<tr>
      <td>${personLink(slug, each.subject, displayName(each))}</td>
      <td data-label="E-mail">${printable(each.email)}</td>
      <td data-label="State">${each.erased ? "erased" : each.active ? "active" : "suspended"}</td>
      <td data-label="Id"><code>${each.subject}</code></td>
    </tr>`,
  );
  const rest =
    people.length > SHOWN
      ? html`<p>These are the first ${SHOWN} of ${people.length}: search for more of the name.</p>`
      : "";
  return html`${narrow}<table class="cards"><thead><tr><th scope="col">Name</th><th scope="col">E-mail</th><th scope="col">State</th><th scope="col">Id</th></tr></thead>
    <tbody>${rows}</tbody></table>${rest}`;
}

/** Somebody's groups; undefined where it would take too long to find them out unasked. */
type GroupsOf = (whom: Whom, fresh: string | undefined) => Promise<Reading<GroupMap> | undefined>;

/**
 * Clavex cannot be asked for one person's groups. So a page takes what the group watch remembers, or what somebody has had read since;
 * only who asks for it waits until the members of all groups have been read.
 */
function createGroupsOf({ ledger, clients, now = Date.now }: ConsoleDependencies): GroupsOf {
  const read = new Map<string, Reading<GroupMap>>();
  return async ({ organization, subject }, fresh) => {
    const { slug } = organization;
    const access = clients.of(organization).directory;
    if (fresh !== undefined && access.mode === "api") read.set(slug, await access.everyGroup(now()));
    const kept = read.get(slug);
    const remembered = await rememberedGroups(ledger.groups, slug, subject);
    return kept && kept.readAt >= (remembered?.readAt ?? Number.NEGATIVE_INFINITY) ? kept : remembered;
  };
}

/** What to do where the groups are not known. */
function groupsUnread(path: string): Html {
  return html`<div class="notice"><p>The groups are not known here: Clavex cannot be asked for one person's, and the group watch has not
    seen all of them, or there are too many to look through.</p>
    <p><a href="${path}?fresh=yes">Read the members of all groups</a>: one request for each group, which takes a while where there are hundreds.</p></div>`;
}

/** A system that cannot be read does not affect the rest of the page. */
async function tryToExplain(
  dependencies: ConsoleDependencies,
  groupsOf: GroupsOf,
  whom: Whom,
  fresh: string | undefined,
): Promise<{ explanation?: Explanation; failed?: Html }> {
  const { ledger, now = Date.now, patienceMs } = dependencies;
  const { organization, subject } = whom;
  const clients = dependencies.clients.of(organization);
  const access = clients.directory;
  if (access.mode !== "api") {
    const failed = html`<p>${organization.slug} has no clavex.apiKey: only what happened is known.</p>`;
    return { failed };
  }
  let explanation: Explanation | undefined;
  const failed = await orProblem(async () => {
    const groups = await groupsOf(whom, fresh);
    if (!groups) return groupsUnread(personPath(organization.slug, subject));
    const work = async () => {
      const person = await access.directory.person(subject);
      return explainPerson({ ledger, clients, groups, now }, { organization, subject, person });
    };
    explanation = await within("Clavex or Nextcloud", work(), patienceMs);
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
    <p class="quiet">Groups as of ${time(namesReadAt)}. <a href="${path}?fresh=yes">Read them again</a>: one request for each group of Clavex, those too that the policy leaves out</p>
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
  groupsOf: () => Promise<Reading<GroupMap> | undefined>,
  { organization, subject }: Whom,
): Promise<Html> {
  const { patienceMs } = dependencies;
  const access = dependencies.clients.of(organization).directory;
  const person =
    access.mode === "api" ? await within("Clavex", access.directory.person(subject), patienceMs) : undefined;
  if (access.mode !== "api" || !person) return html`<p>Clavex has nobody with this id who could log in.</p>`;
  const groups = await groupsOf();
  if (!groups) return groupsUnread(`${personPath(organization.slug, subject)}/rehearsal`);
  const context = createContext(await dependencies.doctorOptions(organization));
  try {
    const work = rehearse(context, { person, map: groups.value, userinfo: false });
    return rehearsalTable(person, await within("Clavex or Nextcloud", work, patienceMs), groups.readAt);
  } finally {
    await context.close();
  }
}

function rehearsalTable(person: Person, { state, comparisons, refused, notes }: Rehearsal, groupsReadAt: number): Html {
  const rows = comparisons.map(
    ({ property, login, pipeline, differs }) => html`<tr><th scope="row">${property}</th>
      <td data-label="A first login creates">${printable(login ?? "(leaves ours)")}</td>
      <td data-label="The pipeline creates">${printable(pipeline)}</td>
      <td><span class="${differs ? "bad" : "good"}">${differs ? "differs" : "the same"}</span></td></tr>`,
  );
  return html`<p>${printable(displayName(person))} <span class="quiet">(groups as of ${time(groupsReadAt)})</span></p>
    ${state === "active" ? "" : html`<p>The person is ${state}: the pipeline creates no account, and Clavex lets nobody in.</p>`}
    ${refused === undefined ? "" : html`<p class="bad">The login would be refused: ${printable(refused)}</p>`}
    <table class="cards"><thead><tr><th scope="col">What</th><th scope="col">A first login creates</th><th scope="col">The pipeline creates</th><th scope="col">Result</th></tr></thead><tbody>${rows}</tbody></table>
    <ul>${notes.map((note) => html`<li>${printable(note)}</li>`)}</ul>`;
}
