import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Office, type OfficePipeline, openOffice } from "../support/office.ts";
import { until } from "../support/processes.ts";
import { CTRL_C } from "../support/pseudo-terminal.ts";
import { refusal } from "../support/requests.ts";

let office: Office;
let pipeline: OfficePipeline;
beforeAll(async () => {
  office = await openOffice({}, { skeleton: "empty" });
  pipeline = await office.start();
});
afterAll(() => office.close());

describe("clavex-nextcloud activity", () => {
  test("shows what happened with names, one line each, and only what is asked for", async () => {
    const [ada, grace] = [
      office.person({ first_name: "Ada", last_name: "Lovelace" }, ["Engineering"]),
      office.person({ first_name: "Grace", last_name: "Hopper" }),
    ];
    for (const person of [ada, grace]) await pipeline.deliver("user.created", person);
    await until(
      () => office.account(grace) && office.groupsOf(ada).length,
      (joined) => joined === 1,
    );
    const all = await until(
      () => office.here("activity"),
      ({ stdout }) => stdout.trim().split("\n").length === 4,
    );
    expect(all.stdout).toMatch(
      new RegExp(`Z {2}applied +Ada Lovelace <${ada.email}> {2}user.created {2}account created, joined Engineering\n`),
    );
    const ofGrace = await office.here("activity", "--user", grace.id, "--result", "applied", "--json");
    expect(JSON.parse(ofGrace.stdout)).toMatchObject({ subject: grace.id, operations: ["upsert account"] });
    expect(ofGrace.stdout).not.toMatch(/Hopper|@/);
    expect(ofGrace.code).toBe(0);
    const byAddress = await office.here(
      "activity",
      "--user",
      grace.email.toUpperCase(),
      "--result",
      "applied",
      "--json",
    );
    expect(byAddress.stdout).toBe(ofGrace.stdout);
    expect(await office.here("activity", "--user", "nobody@acme.example")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("Clavex has nobody with the e-mail address nobody@acme.example"),
    });
    const nothing = await office.here("activity", "--result", "parked");
    expect(nothing.stdout).toBe("Nothing of this kind has happened lately.\n");
  });
});

describe("clavex-nextcloud status", () => {
  test("says in ten lines whether everybody is in sync, and what to do next, with exit code 2 while they are not", async () => {
    const before = await office.here("status");
    expect(before.stdout).toMatch(/^No full reconciliation of acme has ended yet\.\n/);
    expect(before.stdout).toContain("    npx clavex-nextcloud apply --organization acme\n");
    expect(before.code).toBe(2);
    office.people(2);
    await office.here("reconcile", "--yes");
    const after = await until(
      () => office.here("status"),
      ({ code }) => code === 0,
    );
    expect(after.stdout.replaceAll(/\d\d:\d\d/g, "14:02").split("\n")).toEqual([
      "All 4 people are in sync as of 14:02 UTC.",
      "",
      "acme",
      "  people       4 people in Clavex, 2 had an account of ours when the last run looked",
      "  jobs         none",
      "  last runs    full 14:02 UTC done (2 differences), light never, watch never",
      "  brake        holds nobody",
      "  dead letters none",
      "",
    ]);
    const json = JSON.parse((await office.here("status", "--json")).stdout);
    expect(json).toMatchObject({ inSync: true, concerns: [], organizations: [{ organization: "acme", people: 4 }] });
  });

  test("says when nobody works on the queue", async () => {
    const other = await openOffice();
    const { stdout, code } = await other.here("status");
    expect(stdout).toMatch(/^No pipeline runs on the state folder .*state\.\n/);
    expect(stdout).toContain('    Start it with "npm start"');
    expect(code).toBe(2);
    await other.close();
  });
});

describe("clavex-nextcloud apply", () => {
  test("shows the plan, queues, waits until all is done, and says what became of each", async () => {
    const [hugo, ida] = [office.person({ first_name: "Hugo", last_name: "Junkers" }), office.person()];
    const dry = await office.here("apply", "--dry-run");
    expect(dry).toMatchObject({ code: 0, stderr: "" });
    expect(dry.stdout).toContain("Plan: 2 to create, 0 to change, 0 to disable, 0 to delete.\n");
    expect(office.account(hugo)).toBeUndefined();
    const asked = await office.here("apply");
    expect(asked).toMatchObject({ code: 1, stderr: expect.stringContaining("Apply this now? Confirm with --yes.") });

    const done = await office.here("apply", "--yes");
    expect(done.stdout).toContain(`  done    Hugo Junkers <${hugo.email}>: account created\n`);
    expect(done.stdout).toMatch(/\n2 done\n$/);
    expect(done.code).toBe(0);
    expect([office.account(hugo)?.enabled, office.account(ida)?.enabled]).toEqual([true, true]);
    const nothing = await office.here("apply", "--yes");
    expect(nothing).toMatchObject({ code: 0, stdout: expect.stringMatching(/Nothing to change\.\n$/) });
  });

  test("wants the number of those who lose something typed in, as the console does", async () => {
    const leaver = office.person();
    await office.here("apply", "--yes");
    office.clavex.updateUser(office.slug, leaver.id, { is_active: false });
    const question = /Apply this now\? It takes access or groups away from 1 person\. Type 1 to go on:/;
    const wrong = office.terminal("apply");
    await wrong.answer(question, "yes");
    expect(await wrong.ended).toBe(1);
    expect(wrong.shown()).toContain('Nothing was done: 1 was to be typed in, not "yes".');
    expect(office.account(leaver)?.enabled).toBe(true);
    const right = office.terminal("apply");
    await right.answer(question, "1");
    expect(await right.ended).toBe(0);
    expect(office.account(leaver)?.enabled).toBe(false);
  });

  test("has exit code 1 when somebody was refused, and says what to do", async () => {
    const person = office.person();
    const body = refusal(101, "not this one");
    office.nextcloud.faults.add({ kind: "status", status: 400, body, match: ({ method }) => method === "POST" });
    const { code, stdout } = await office.here("apply", "--yes");
    expect(stdout).toMatch(new RegExp(`  parked  Ada Lovelace <${person.email}>: .*not this one.* \\([a-z0-9-]+\\)`));
    expect(stdout).toContain(`npx clavex-nextcloud dead-letters replay --organization acme --user ${person.id}`);
    expect(stdout).toMatch(/\n0 done, 1 refused\n$/);
    expect(code).toBe(1);
    const again = await office.here("provision", "--organization", "acme", "--user", person.id, "--wait", "--json");
    expect(JSON.parse(again.stdout)).toMatchObject([{ subject: person.id, result: "parked" }]);
    expect(again.code).toBe(1);
    office.nextcloud.faults.clear();
    office.clavex.deleteUser(office.slug, person.id);
  });

  test("provision --wait says what was done", async () => {
    const person = office.person();
    const { code, stdout } = await office.here("provision", "--organization", "acme", "--user", person.id, "--wait");
    expect(stdout).toContain(`  done    ${person.first_name} ${person.last_name} <${person.email}>: account created\n`);
    expect(code).toBe(0);
  });

  test("provision --wait says what it waits for, and that a job goes on when Ctrl-C ends the wait", async () => {
    const person = office.person();
    await office.nextcloud.down();
    const waiting = office.terminal("provision", "--user", person.id, "--wait");
    await waiting.shows(/waiting: the attempt at .* failed: .*ECONNREFUSED/);
    waiting.press(CTRL_C);
    expect(await waiting.ended).toBe(130);
    expect(waiting.shown()).toContain("1 job goes on without this command. See: npx clavex-nextcloud status");
    await office.nextcloud.up();
    await until(
      () => office.account(person),
      (account) => account !== undefined,
    );
  });

  test("where nothing differs counts as a full run: status does not ask for it again", async () => {
    const other = await openOffice();
    await other.start();
    const kinds = async () => {
      const { concerns } = JSON.parse((await other.here("status", "--json")).stdout);
      return concerns.map(({ kind }: { kind: string }) => kind);
    };
    expect(await kinds()).toContain("not-reconciled");
    const { code, stdout } = await other.here("apply", "--yes");
    expect([code, stdout]).toEqual([0, expect.stringMatching(/Nothing to change\.\n$/)]);
    expect(await kinds()).not.toContain("not-reconciled");
    await other.close();
  });

  test("does not wait when nobody is there to work on it, and says so", async () => {
    const other = await openOffice();
    other.person();
    await other.here("plan");
    const { code, stderr } = await other.here("apply", "--yes");
    expect(stderr).toMatch(/no pipeline runs on the state folder/);
    expect(code).toBe(1);
    await other.close();
  });
});
