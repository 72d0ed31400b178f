import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openState } from "../../functions/local/state.ts";
import { type Office, type OfficePipeline, openOffice } from "../support/office.ts";

describe("reconcile, against a running pipeline", () => {
  let office: Office;
  let pipeline: OfficePipeline;

  beforeEach(async () => {
    office = await openOffice({}, { skeleton: "empty" });
    pipeline = await office.start();
  });
  afterEach(() => office.close());

  const reconcile = (...args: string[]) => office.command("reconcile", ...args);
  const people = (number: number) => Array.from({ length: number }, () => office.person());
  const applied = async (persons: { id: string }[], operations = ""): Promise<void> => {
    for (const { id } of persons) await pipeline.printed(new RegExp(`subject=${id} .*result=applied.*${operations}`));
  };
  const enabled = (persons: { id: string }[]): number => persons.filter((each) => office.account(each)?.enabled).length;

  /** This many people with an account, and this many of them suspended since. */
  async function departures(all: number, leaving: number) {
    const persons = people(all);
    await reconcile();
    await applied(persons);
    for (const { id } of persons.slice(0, leaving)) office.clavex.suspend(office.slug, id);
    return persons;
  }

  test("sends a job for everybody who differs, and says how many; the pipeline does the rest", async () => {
    const persons = people(2);
    expect(await reconcile()).toMatchObject({
      code: 0,
      output: "acme: looked at 2 people, sent 2 jobs; 0 wait already, 0 were refused before.\n",
    });
    await applied(persons);
    expect(enabled(persons)).toBe(2);
    expect(await reconcile()).toMatchObject({
      code: 0,
      output: "acme: looked at 2 people, sent 0 jobs; 0 wait already, 0 were refused before.\n",
    });
  });

  test("looks at Nextcloud too; --light does not, and finds only what changed in Clavex", async () => {
    const persons = await departures(1, 0);
    const [ada = expect.fail()] = persons;
    office.nextcloud.simulateLogin({ providerId: 1, sub: ada.id, claims: { name: "Changed in Nextcloud" } });
    office.nextcloud.requests.length = 0;
    expect((await reconcile("--light")).output).toMatch(/sent 0 jobs/);
    expect(office.nextcloud.requests).toEqual([]);
    expect((await reconcile()).output).toMatch(/sent 1 job;/);

    await applied(persons, "upsert displayname");
    expect(office.account(ada)?.displayName).toBe("Ada Lovelace");
  });

  test("counts those who wait already, while Nextcloud is away", async () => {
    office.person();
    office.nextcloud.maintenance = true;
    expect((await reconcile("--light")).output).toMatch(/sent 1 job; 0 wait already/);
    expect((await reconcile("--light")).output).toMatch(/sent 0 jobs; 1 wait already/);
  });

  test("the brake holds a wave: exit code 3 and a sentence; an operator has to say yes, and lets it go", async () => {
    const persons = await departures(12, 11);
    const joiner = office.person();
    const dry = await reconcile("--dry-run");
    expect([dry.code, dry.lines[0]]).toEqual([
      3,
      "acme: looked at 13 people, would send 1 job; 0 wait already, 0 were refused before. Nothing was changed.",
    ]);
    const dryAllowing = await reconcile("--dry-run", "--organization", "acme", "--allow-deprovisions", "11");
    expect(dryAllowing).toMatchObject({ code: 0, output: expect.stringContaining("would send 12 jobs;") });
    const held = await reconcile();
    expect(held.code).toBe(3);
    expect(held.lines).toEqual([
      "acme: looked at 13 people, sent 1 job; 0 wait already, 0 were refused before.",
      "acme: held: 11 people would lose access, more than the 6 that may at once: nobody is deprovisioned. If that is right: npx clavex-nextcloud reconcile --organization acme --allow-deprovisions 11",
      "",
    ]);
    await applied([joiner]);
    expect(enabled(persons)).toBe(12);

    const asked = await reconcile("--organization", "acme", "--allow-deprovisions", "11");
    expect(asked).toMatchObject({
      code: 1,
      output: "Let 11 more people of acme lose access than the brake's limit? Confirm with --yes.\n",
    });
    expect((await reconcile()).code, "not having said yes has allowed nothing").toBe(3);

    const allowed = await reconcile("--organization", "acme", "--allow-deprovisions", "11", "--yes");
    expect(allowed).toMatchObject({ code: 0, output: expect.stringMatching(/sent 11 jobs/) });
    await applied(persons.slice(0, 11), '"disable"');
    expect(enabled(persons)).toBe(1);
    expect((await reconcile()).code).toBe(0);
  });

  test("counts what the hour has seen: whom its brake would hold gets no job, and that is exit code 3", async () => {
    const persons = await departures(14, 6);
    expect(await reconcile()).toMatchObject({ code: 0, output: expect.stringMatching(/sent 6 jobs/) });
    await applied(persons.slice(0, 6), '"disable"');
    for (const { id } of persons.slice(6, 9)) office.clavex.suspend(office.slug, id);
    const held = await reconcile();
    expect([held.code, held.lines[0], held.lines[1]]).toEqual([
      3,
      "acme: looked at 14 people, sent 0 jobs; 0 wait already, 0 were refused before.",
      expect.stringMatching(
        /^acme: held: 3 people would lose access, and 6 have within the last hour, more than the 7/,
      ),
    ]);
    const allowed = await reconcile("--organization", "acme", "--allow-deprovisions", "2", "--yes");
    expect(allowed, "one has been left by the hour").toMatchObject({
      code: 0,
      output: expect.stringMatching(/sent 3 jobs/),
    });
    await applied(persons.slice(6, 9), '"disable"');
    expect(enabled(persons)).toBe(5);
  });

  test("--json prints JSON and nothing else, held or not", async () => {
    await departures(11, 11);
    const unknown = { listed: true, accounts: [], unread: 0 };
    const held = await reconcile("--json");
    expect(held.code).toBe(3);
    expect(JSON.parse(held.output)).toEqual([
      {
        organization: "acme",
        result: "done",
        sent: 0,
        waiting: 0,
        refused: 0,
        held: {
          reason: "brake",
          holds: "everybody",
          people: 11,
          explanation: expect.stringMatching(/^11 people would lose access/),
        },
        unknown,
      },
    ]);
    const allowed = await reconcile("--json", "--organization", "acme", "--allow-deprovisions", "11", "--yes");
    expect([allowed.code, JSON.parse(allowed.output)]).toEqual([
      0,
      [{ organization: "acme", result: "done", sent: 11, waiting: 0, refused: 0, unknown }],
    ]);
  });

  test("an empty directory is held whatever is allowed", async () => {
    const persons = await departures(2, 0);
    for (const { id } of persons) office.clavex.deleteUser(office.slug, id);
    const { code, lines } = await reconcile("--organization", "acme", "--allow-deprovisions", "2", "--yes");
    expect(code).toBe(3);
    expect(lines[1]).toBe("acme: held: Clavex shows no people, but the ledger knows 2: nobody is deprovisioned");
    expect(enabled(persons)).toBe(2);
  });

  test("while another run is under way it does nothing and says so: exit code 1", async () => {
    office.person();
    const state = openState(office.stateFolder);
    const release = await state.ledger.locks.take("acme", "reconcile", Date.now(), Date.now() + 60_000);
    expect(await reconcile()).toMatchObject({
      code: 1,
      output: "acme: nothing was done: another reconciliation is under way\n",
    });
    const { output } = await reconcile("--json");
    expect(JSON.parse(output)).toEqual([{ organization: "acme", result: "busy", sent: 0, waiting: 0, refused: 0 }]);
    await release?.();
    state.close();
    expect((await reconcile()).code).toBe(0);
  });

  test.each([
    [["--organization", "nobody"], /^there is no organization nobody$/m],
    [["--allow-deprovisions", "3"], /--allow-deprovisions needs --organization/],
    [["--organization", "acme", "--allow-deprovisions", "0"], /must be a number from 1 upwards/],
    [["--organization", "acme", "--allow-deprovisions", "-5"], /must be a number from 1 upwards/],
    [["--organization", "acme", "--allow-deprovisions", "many"], /must be a number from 1 upwards/],
  ])("%j is refused with a sentence", async (args, sentence) => {
    const { code, output } = await reconcile(...args);
    expect(code).toBe(1);
    expect(output).toMatch(sentence);
    expect(output).not.toMatch(/\n\s+at /);
  });

  test("an organization without an API key is left out; asked for by name, that is exit code 1", async () => {
    await office.stop();
    await office.addFile("keyless", {});
    pipeline = await office.start();
    const sentence = "keyless: nothing was done: it has no clavex.apiKey to read the directory with";
    const all = await reconcile();
    expect([all.code, all.lines]).toEqual([0, expect.arrayContaining([sentence])]);
    expect(await reconcile("--organization", "keyless")).toMatchObject({ code: 1, output: `${sentence}\n` });
  });

  test("a refused API key is told with what to do", async () => {
    office.clavex.faults.add({ kind: "status", status: 401, body: '{"error":"Unauthorized"}' });
    const { code, output } = await reconcile();
    expect(code).toBe(1);
    expect(output).toMatch(/Clavex refuses the API key \(HTTP 401\)\nCreate an API key/);
  });

  test("without a running pipeline it queues all the same, and says that the jobs wait; the next start does them", async () => {
    await office.stop();
    const person = office.person();
    const { code, output } = await reconcile();
    expect(code).toBe(0);
    expect(output).toMatch(/^acme: looked at 1 person, sent 1 job;/m);
    expect(output).toMatch(/^no pipeline runs on the state folder .*: what was queued waits until it is started$/m);
    expect(office.account(person)).toBeUndefined();
    pipeline = await office.start();
    await applied([person]);
    expect(office.account(person)?.enabled).toBe(true);
  });
});

describe("npm start reconciles by itself", () => {
  let office: Office;

  beforeEach(async () => {
    office = await openOffice();
  });
  afterEach(() => office.close());

  const schedule = ["--watch-seconds", "60", "--light-minutes", "10", "--full-hours", "24"];

  test("whatever is due runs at the start: somebody whom no webhook reported gets their account", async () => {
    const joiner = office.person({}, ["eng"]);
    const pipeline = await office.start(...schedule);
    await pipeline.printed(/trigger=reconcile .*result=applied/);
    expect(office.account(joiner)?.enabled).toBe(true);
    expect(pipeline.output()).toMatch(/reconcile organization=acme mode=full people=1/);
  });

  test("a restart does not repeat what is not due", async () => {
    const first = await office.start(...schedule);
    await first.printed(/reconcile organization=acme mode=full/);
    await office.stop();
    office.nextcloud.requests.length = 0;
    const second = await office.start(...schedule);
    // A stop waits for the runs under way.
    await office.stop();
    expect(second.output()).not.toMatch(/mode=full/);
    expect(office.nextcloud.requests).toEqual([]);
  });

  test("a run that fails says what to do", async () => {
    office.clavex.faults.add({ kind: "status", status: 403, body: '{"error":"Forbidden"}' });
    const pipeline = await office.start(...schedule);
    await pipeline.printed(
      /reconcile failed organization=acme mode=full class=configuration code=clavex-key-refused .*Create an API key/,
    );
    office.clavex.faults.clear();
  });

  test.each([
    ["--light-minutes", "0.5", "must be 1 or more, or 0 for never"],
    ["--watch-seconds", "often", "must be 60 or more, or 0 for never"],
    ["--full-hours", "-1", "must be a minute or more, or 0 for never"],
  ])("an interval that no tick can keep is refused: %s %s", async (option, value, sentence) => {
    await expect(office.start(`${option}=${value}`)).rejects.toThrow(sentence);
  });
});
