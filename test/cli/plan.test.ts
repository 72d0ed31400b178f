import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEMO_PEOPLE } from "../../functions/simulated/demo.ts";
import { type Office, openOffice } from "../support/office.ts";
import { startPipelineProcess } from "../support/processes.ts";
import { runInTerminal } from "../support/terminal.ts";

describe("plan on the demo organization", () => {
  test("shows what would be made, changes nothing, and says so when nothing is left", async () => {
    const folder = await mkdtemp(join(tmpdir(), "clavex-nextcloud-"));
    const places = ["--state", join(folder, "state")];
    const pipeline = await startPipelineProcess([...places, "--demo"]);
    const command = async (...args: string[]) => {
      // The pipeline is a process without this variable, and finds the demo's folder by it.
      const { code, output } = await runInTerminal([...args, ...places], {
        environment: { XDG_RUNTIME_DIR: "" },
        folder,
      });
      return { code, output };
    };
    const { ada, grace, linus } = DEMO_PEOPLE;
    const made = ({ first_name, last_name, email, group }: typeof ada): string[] => [
      `  + ${first_name} ${last_name} <${email}>`,
      "      account  is created",
      `      name     "${first_name} ${last_name}"`,
      `      e-mail   "${email}"`,
      '      quota    "5 GB" (default)',
      `      group    + ${group}`,
    ];
    const first = [
      "acme: 3 people in Clavex, 0 accounts of theirs in Nextcloud",
      "",
      ...[ada, grace, linus].flatMap(made),
      "",
      "Plan: 3 to create, 0 to change, 0 to disable, 0 to delete.",
      "",
    ].join("\n");
    try {
      expect(await command("plan")).toEqual({ code: 2, output: first });
      expect(await command("plan"), "a plan changes nothing").toEqual({ code: 2, output: first });
      expect((await command("reconcile")).code).toBe(0);
      for (const { id } of [ada, grace, linus]) await pipeline.printed(new RegExp(`subject=${id} .*result=applied`));
      expect(await command("plan")).toEqual({
        code: 0,
        output: "acme: 3 people in Clavex, 3 accounts of theirs in Nextcloud\n\nNothing to change.\n",
      });
    } finally {
      pipeline.kill("SIGTERM");
      await pipeline.ended;
      await rm(folder, { recursive: true });
    }
  });
});

describe("plan on an organization of one's own", () => {
  let office: Office;

  beforeEach(async () => {
    office = await openOffice({ quota: { default: "5 GB", byGroup: { finance: "50 GB" } } });
  });
  afterEach(() => office.close());

  const logIn = (person: { id: string }, claims: { name?: string; email?: string; quota?: string }) =>
    office.nextcloud.simulateLogin({ providerId: 1, sub: person.id, claims });

  test("says for each person what is and what shall be, group by group and rule by rule", async () => {
    const mover = office.person({ first_name: "Grace", last_name: "Hopper" }, ["finance"]);
    logIn(mover, { name: "Grace Murray", email: mover.email, quota: "1 GB" });
    office.clavex.addGroup(office.slug, "old");
    office.nextcloud.addGroup(office.groupId("old"), "old");
    office.nextcloud.addMember(office.groupId("old"), office.accountId(mover));
    const suspended = office.person({ first_name: "Linus", last_name: "Pauling" });
    logIn(suspended, { name: "Linus Pauling" });
    office.clavex.suspend(office.slug, suspended.id);
    const known = office.person({ first_name: "Barbara", last_name: "Liskov" });
    logIn(known, { name: "Barbara Liskov", email: known.email, quota: "5 GB" });
    const joiner = office.person();
    office.clavex.setAttributes(office.slug, joiner.id, { nextcloud_quota: "none" });

    const { code, output, lines } = await office.command("plan");
    expect(code).toBe(2);
    expect(lines[0]).toBe("acme: 4 people in Clavex, 3 accounts of theirs in Nextcloud");
    const block = (title: string): string[] => {
      const from = lines.indexOf(title);
      expect(from, `${title}\n${output}`).toBeGreaterThan(0);
      const length = lines.slice(from + 1).findIndex((line) => !line.startsWith("      "));
      return lines.slice(from + 1, from + 1 + length).map((line) => line.slice(6));
    };
    expect(block(`  ~ Grace Hopper <${mover.email}>`)).toEqual([
      "group    - old",
      "group    + finance",
      'quota    "1 GB" -> "50 GB" (group finance)',
    ]);
    // She has logged in: a name cannot be written over her files, and is no difference.
    expect(output).toContain(`! Grace Hopper <${mover.email}>: the changed name cannot be written`);
    expect(block(`  - Linus Pauling <${suspended.email}>`)).toEqual(["account  is disabled (suspended in Clavex)"]);
    expect(block(`  = Barbara Liskov <${known.email}>`)).toEqual(["the account is in sync; the ledger will record it"]);
    expect(block(`  + Ada Lovelace <${joiner.email}>`)).toEqual([
      "account  is created",
      'name     "Ada Lovelace"',
      `e-mail   "${joiner.email}"`,
      'quota    "none" (attribute)',
    ]);
    expect(lines.at(-2)).toBe("Plan: 1 to create, 1 to change, 1 to disable, 0 to delete.");
    expect(office.nextcloud.requests.every(({ method }) => method === "GET")).toBe(true);
  });

  test("says of whom a login opens an account that has the bare subject as its id, and asks no more for it", async () => {
    const persons = [office.person(), office.person()];
    for (const person of persons) logIn(person, { name: "Ada Lovelace", email: person.email, quota: "5 GB" });
    const asked = async (): Promise<[unknown, number, string[]]> => {
      office.nextcloud.requests.length = 0;
      const { code, lines } = await office.command("plan");
      return [code, office.nextcloud.requests.length, lines.filter((line) => line.includes("bare subject"))];
    };
    const [, before] = await asked();
    const [ada = expect.fail()] = persons;
    office.nextcloud.addLocalUser({ id: ada.id });
    expect(await asked()).toEqual([
      0,
      before,
      [
        expect.stringMatching(
          new RegExp(`^  ! Ada Lovelace <${ada.email}>: an account has the bare subject as its id: a login opens`),
        ),
      ],
    ]);
  });

  test("lists apart what is left as it is, and does not count it", async () => {
    const conflict = office.person();
    office.nextcloud.addLocalUser({ id: office.accountId(conflict) });
    const locked = office.person();
    logIn(locked, { name: "Ada Lovelace", email: locked.email, quota: "5 GB" });
    office.nextcloud.setEnabled(office.accountId(locked), false);
    const { code, lines } = await office.command("plan");
    expect(code).toBe(0);
    const from = lines.indexOf("Left as it is:");
    expect(lines.slice(from + 1, from + 3).sort()).toEqual(
      [
        `  ! Ada Lovelace <${conflict.email}>: account ${office.accountId(conflict)} belongs to Nextcloud's backend Database, not to user_oidc; nothing was touched`,
        `  ! Ada Lovelace <${locked.email}>: the account is disabled, but not by us: a Nextcloud administrator has to enable it`,
      ].sort(),
    );
    expect(lines.at(-2)).toBe("Nothing to change; the ledger will record 1 account.");
  });

  test("names who would be disabled, and why the brake would hold them", async () => {
    for (let index = 0; index < 11; index += 1) {
      const person = office.person();
      logIn(person, { name: "Ada Lovelace" });
      office.clavex.suspend(office.slug, person.id);
    }
    const { code, lines } = await office.command("plan");
    expect(code).toBe(2);
    expect(lines.filter((line) => line.startsWith("  - "))).toHaveLength(11);
    expect(lines).toContain(
      "Held: 11 people would lose access, more than the 5 that may at once: nobody is deprovisioned. If that is right: npx clavex-nextcloud reconcile --organization acme --allow-deprovisions 11",
    );
    expect(lines.at(-2)).toBe("Plan: 0 to create, 0 to change, 11 to disable, 0 to delete.");
  });

  test("works while the pipeline does not run, with what it wrote down: who was disabled by us, and is to be deleted", async () => {
    await office.configure({
      deprovision: { deleted: "delete", graceDays: 0 },
      reconcile: { maxDeprovisions: { count: 10 } },
    });
    const [back, gone, locked] = [office.person(), office.person(), office.person()];
    const pipeline = await office.start();
    await office.command("reconcile");
    for (const { id } of [back, gone, locked]) await pipeline.printed(new RegExp(`subject=${id} .*result=applied`));
    office.clavex.suspend(office.slug, back.id);
    office.clavex.deleteUser(office.slug, gone.id);
    await office.command("reconcile");
    for (const { id } of [back, gone]) await pipeline.printed(new RegExp(`subject=${id} .*operations=\\["disable"\\]`));
    await office.stop();

    office.clavex.updateUser(office.slug, back.id, { is_active: true });
    office.nextcloud.setEnabled(office.accountId(locked), false);
    const { code, lines } = await office.command("plan", "--organization", "acme");
    expect(code).toBe(2);
    expect(lines).toEqual([
      "acme: 2 people in Clavex, 3 accounts of theirs in Nextcloud",
      "",
      ...[
        [`  ~ Ada Lovelace <${back.email}>`, "      account  is enabled again"],
        [
          `  x Ada Lovelace (${gone.id})`,
          "      account  is deleted with its files (gone from Clavex, and the grace days are over)",
        ],
      ]
        .sort(([, a = ""], [, b = ""]) => lines.indexOf(a) - lines.indexOf(b))
        .flat(),
      "",
      "Left as it is:",
      `  ! Ada Lovelace <${locked.email}>: the account is disabled, but not by us: a Nextcloud administrator has to enable it`,
      "",
      "Plan: 0 to create, 1 to change, 0 to disable, 1 to delete.",
      "",
    ]);
    expect((await office.command("plan")).lines, "reading the ledger does not change it").toEqual(lines);
  });

  test("--json prints JSON and nothing else", async () => {
    const joiner = office.person({}, ["eng"]);
    const { code, output } = await office.command("plan", "--json");
    expect(code).toBe(2);
    expect(JSON.parse(output)).toEqual([
      {
        organization: "acme",
        mode: "full",
        people: 1,
        known: 0,
        enabled: 0,
        accounts: 0,
        leaversStillEnabled: 0,
        notes: [],
        unknown: { listed: true, accounts: [], unread: 0 },
        unreadGroups: [],
        existing: [],
        doubled: [],
        differences: [
          {
            subject: joiner.id,
            accountId: office.accountId(joiner),
            kind: "create",
            state: "active",
            operations: [
              expect.objectContaining({ kind: "upsert" }),
              expect.objectContaining({ kind: "join", group: expect.objectContaining({ name: "eng" }) }),
            ],
            desired: {
              displayName: "Ada Lovelace",
              email: joiner.email,
              quota: 5 * 1024 ** 3,
              groups: [expect.objectContaining({ gid: office.groupId("eng"), name: "eng" })],
            },
          },
        ],
      },
    ]);
    office.clavex.suspend(office.slug, joiner.id);
    const nothing = await office.command("plan", "--json");
    expect([nothing.code, JSON.parse(nothing.output)]).toEqual([0, [expect.objectContaining({ differences: [] })]]);
  });

  test("says how long many edits take", async () => {
    for (let index = 0; index < 301; index += 1) {
      const person = office.person();
      office.nextcloud.simulateLogin({
        providerId: 1,
        sub: person.id,
        claims: { name: "Ada Lovelace", email: person.email, quota: "1 GB" },
      });
    }
    const { output } = await office.command("plan");
    expect(output).toMatch(/301 of the changes are edits .* take about 61 minutes; nothing else waits/);
  });

  test("control characters in names, groups and answers do not reach the terminal", async () => {
    const joiner = office.person({ first_name: "Ada\u001b[2J\u0007", last_name: "Love\u202elace\u009b" }, [
      "eng\u001b]0;owned\u0007",
    ]);
    const mover = office.person();
    await office.administer("POST", "apps/user_oidc/api/v1/user", {
      providerId: "1",
      userId: mover.id,
      displayName: "Old\u001b[31m name\r",
      email: mover.email,
      quota: "5 GB",
    });
    office.clavex.addGroup(office.slug, "free");
    const { code, output } = await office.command("plan");
    expect(code).toBe(2);
    expect(output).toContain(joiner.email);
    expect(output).toContain('"Old [31m name " -> "Ada Lovelace"');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(output).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  });

  test("an unknown organization is told in a sentence", async () => {
    expect(await office.command("plan", "--organization", "nobody")).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^there is no organization nobody\nThere is: acme\n$/),
    });
  });

  test("without organization files and without a running demo it says how to go on", async () => {
    const { code, output } = await runInTerminal(["plan"], { folder: await mkdtemp(join(tmpdir(), "nothing-")) });
    expect(code).toBe(1);
    expect(output).toMatch(/there are no organization files in organizations\/local, and no demo runs: .*"npm start"/);
  });

  test("a file that is refused is named beside one that has its slug: by plan, status and doctor", async () => {
    await office.addFile("copy", { slug: "acme", colour: "red" });
    for (const command of ["plan", "status", "doctor"]) {
      const { output } = await office.command(command);
      expect(output, command).toMatch(/copy\.json: unknown key "colour": remove it/);
    }
    await rm(join(office.stateFolder, "../organizations/copy.json"));
  });

  test("an organization without an API key is left out, and named; asked for by name, it is an error that says why", async () => {
    await office.addFile("keyless", {});
    const all = await office.command("plan");
    expect(all.code).toBe(0);
    expect(all.lines).toContain("keyless: left out, it has no clavex.apiKey to read the directory with");
    const named = await office.command("plan", "--organization", "keyless");
    expect(named.code).toBe(1);
    expect(named.output).toMatch(/keyless has no clavex\.apiKey\n.*give the organization an API key/);
  });

  test.each([
    ["Clavex refuses the key", 403, /Clavex refuses the API key \(HTTP 403\)\nCreate an API key/],
    ["Clavex is away", 503, /^acme:\nhttp:\/\/127\.0\.0\.1:\d+: Clavex answers HTTP 503\n.*try again later\.\n$/],
  ])("%s: a sentence and exit code 1, no stack", async (_what, status, sentence) => {
    office.clavex.faults.add({ kind: "status", status, body: '{"error":"insufficient permissions"}' });
    const { code, output } = await office.command("plan");
    expect(code).toBe(1);
    expect(output).toMatch(sentence);
    expect(output).not.toMatch(/\n\s+at /);
  });
});
