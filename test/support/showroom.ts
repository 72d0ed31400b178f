import { readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { accountId, groupId } from "../../functions/core/identity.ts";
import { DATABASE_FILE } from "../../functions/database.ts";
import { openState } from "../../functions/local/state.ts";
import { startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";
import { apiKeyOf, documentOf, environmentOf, organizationOf } from "../core/organization.ts";
import { personJob, webhookTrigger } from "./jobs.ts";
import { type Ran, runInTerminal } from "./terminal.ts";

/** The time in the showroom. */
export const NOON = Date.UTC(2026, 10, 23, 12);
const HOUR_MS = 60 * 60_000;
const SLUG = "acme";
const { identity } = organizationOf();
const ORGANIZATION_ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";

/** One person of each kind; nobody's data ever changes, so that what is printed about them does not either. */
export const PEOPLE = {
  joiner: person("6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21", "Ada", "Lovelace"),
  mover: person("a2b4c6d8-1e3f-4a5b-8c7d-9e0f1a2b3c4d", "Grace", "Hopper"),
  suspended: person("c0ffee00-5e1f-4d2c-9b3a-7f6e5d4c3b2a", "Linus", "Pauling"),
  settled: person("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed", "Barbara", "Liskov"),
  conflict: person("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "Katherine", "Johnson"),
};
/** Somebody whom Clavex does not have any more. */
export const GONE = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
const STRANGER = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
/** The account of somebody who is not known any more. */
export const STRANGER_ID = accountId(identity, STRANGER);

function person(id: string, first_name: string, last_name: string) {
  return { id, first_name, last_name, email: `${first_name.toLowerCase()}@acme.example` };
}

/** An organization with its simulated servers and state, in which commands run in this process. */
export interface Showroom {
  run(args: string[], columns: number | undefined): Promise<Pick<Ran, "code" | "stdout" | "stderr">>;
  folder: string;
  /** All that the pipeline, Clavex and Nextcloud keep. */
  contents(): string;
  close(): Promise<void>;
}

/** Opens a showroom, with some more people who are suspended in Clavex and can still log in to Nextcloud. */
export async function openShowroom({ leavers = 0 } = {}): Promise<Showroom> {
  const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
  const now = () => NOON;
  const clavex = await startSimulatedClavex({
    organizations: [{ id: ORGANIZATION_ID, slug: SLUG, apiKey: apiKeyOf(SLUG) }],
    now,
  });
  const nextcloud = await startSimulatedNextcloud({ now });
  const [organizations, state] = [join(folder, "organizations"), join(folder, "state")];
  await mkdir(organizations);
  const document = documentOf(
    { slug: SLUG, organizationId: ORGANIZATION_ID, quota: { default: "5 GB", byGroup: { Finance: "50 GB" } } },
    { clavex, nextcloud },
  );
  await writeFile(join(organizations, `${SLUG}.json`), JSON.stringify(document));
  furnish(clavex, nextcloud);
  for (let index = 0; index < leavers; index += 1) {
    const leaver = person(`4d1f0c7a-0000-4000-8000-${String(index).padStart(12, "0")}`, `Leaver${index}`, "Gone");
    clavex.addUser(SLUG, { ...leaver, is_active: false });
    nextcloud.simulateLogin({ providerId: 1, sub: leaver.id, claims: { email: leaver.email } });
  }
  await remember(state);
  const environment = {
    ...environmentOf(nextcloud.password, SLUG),
    CLAVEX_NEXTCLOUD_ORGANIZATIONS: organizations,
    CLAVEX_NEXTCLOUD_STATE: state,
  };
  // What differs each time, replaced at equal length so that wrapping does not change.
  const same = (text: string): string =>
    text
      .replaceAll(clavex.url, "http://127.0.0.1:11111")
      .replaceAll(nextcloud.url, "http://127.0.0.1:22222")
      .replaceAll(folder, "/srv/clavex-nextcloud");
  return {
    folder,
    contents() {
      const database = new DatabaseSync(join(state, DATABASE_FILE), { readOnly: true });
      const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
      const rows = tables.map(({ name }) => [name, database.prepare(`SELECT * FROM "${name}"`).all()]);
      database.close();
      return JSON.stringify([
        rows,
        nextcloud.users(),
        nextcloud.groups(),
        clavex.management(SLUG),
        readdirSync(folder),
      ]);
    },
    async run(args, columns) {
      const { code, stdout, stderr } = await runInTerminal(args, { columns, now, environment });
      return { code, stdout: same(stdout), stderr: same(stderr) };
    },
    async close() {
      await Promise.all([clavex.close(), nextcloud.close()]);
      await rm(folder, { recursive: true });
    },
  };
}

function furnish(
  clavex: Awaited<ReturnType<typeof startSimulatedClavex>>,
  nextcloud: Awaited<ReturnType<typeof startSimulatedNextcloud>>,
): void {
  const idOf = ({ id }: { id: string }): string => accountId(identity, id);
  for (const each of Object.values(PEOPLE)) clavex.addUser(SLUG, each);
  for (const [name, members] of [
    ["Engineering", [PEOPLE.joiner, PEOPLE.settled]],
    ["Finance", [PEOPLE.mover]],
  ] as const) {
    const group = clavex.addGroup(SLUG, name);
    for (const { id } of members) clavex.addMember(SLUG, group.id, id);
  }
  const logIn = (sub: string, name: string, email: string) =>
    nextcloud.simulateLogin({ providerId: 1, sub, claims: { name, email, quota: "5 GB" } });
  for (const each of [PEOPLE.mover, PEOPLE.suspended, PEOPLE.settled])
    logIn(each.id, `${each.first_name} ${each.last_name}`, each.email);
  logIn(STRANGER, "Left Long-Ago", "left@acme.example");
  clavex.suspend(SLUG, PEOPLE.suspended.id);
  for (const name of ["Engineering", "Sales"]) nextcloud.addGroup(groupId(identity, name), name);
  nextcloud.addMember(groupId(identity, "Engineering"), idOf(PEOPLE.settled));
  nextcloud.addLocalUser({ id: "ada", displayName: "Ada", email: PEOPLE.joiner.email });
  nextcloud.addLocalUser({ id: "barbara", displayName: "Barbara", email: PEOPLE.settled.email });
  nextcloud.addLocalUser({ id: idOf(PEOPLE.conflict), displayName: "Katherine Johnson" });
}

async function remember(folder: string): Promise<void> {
  const { ledger, close } = openState(folder);
  const refused = [
    [PEOPLE.conflict.id, "account-conflict", "the account belongs to Nextcloud's backend Database, not to user_oidc"],
    [GONE, "nextcloud-ocs-101", "Nextcloud refuses the e-mail address"],
  ];
  for (const [index, [subject = "", reason = "", message = ""]] of refused.entries()) {
    const trigger = { ...webhookTrigger("user.updated"), deliveryId: `4d1f0c7a-0000-4000-8000-00000000000${index}` };
    const job = personJob(SLUG, subject, trigger);
    const lastAt = NOON - (index + 1) * HOUR_MS;
    await ledger.deadLetters.park({ organization: SLUG, subject, job, reason, message, attempts: index + 1, lastAt });
  }
  close();
}
