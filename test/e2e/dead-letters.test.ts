import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Office, openOffice } from "../support/office.ts";
import { until } from "../support/processes.ts";

/** `npm start` and the commands as processes, between a simulated Clavex and a simulated Nextcloud. */
describe("an operator", () => {
  let office: Office;
  beforeEach(async () => {
    office = await openOffice();
  });
  afterEach(() => office.close());

  const listed = async () => JSON.parse((await office.command("dead-letters", "list", "--json")).stdout) as unknown[];

  test("sees within seconds whom Nextcloud refuses, while the others are provisioned, and replays after the cause is gone", async () => {
    const { nextcloud, command, accountId } = office;
    const pipeline = await office.start();
    const [taken, long, ...others] = Array.from({ length: 8 }, () => office.person());
    if (!taken || !long) throw new Error("there are people");
    nextcloud.addLocalUser({ id: accountId(taken), displayName: "Somebody else" });
    office.clavex.updateUser(office.slug, long.id, { last_name: "x".repeat(300) });
    for (const person of [taken, long, ...others]) {
      const now = office.clavex.user(office.slug, person.id);
      if (now) expect(await pipeline.deliver("user.created", now)).toBe(202);
    }
    await until(
      () => others.filter((person) => nextcloud.user(accountId(person))?.enabled).length,
      (done) => done === others.length,
    );
    await until(listed, (letters) => letters.length === 2);

    const list = await command("dead-letters", "list");
    expect(list).toMatchObject({ code: 2, stderr: "" });
    expect(list.stdout).toContain("account-conflict");
    expect(list.stdout).toContain("profile-refused");
    expect(list.stdout).toContain(
      `account ${accountId(taken)} belongs to Nextcloud's backend Database, not to user_oidc; nothing was touched`,
    );
    expect(list.stdout).toContain(`the display name has 304 characters, Nextcloud holds at most 255`);
    expect(await command("dead-letters", "list", "--reason", "profile-refused")).toMatchObject({
      code: 2,
      stdout: expect.not.stringContaining(taken.email),
    });
    const show = await command("dead-letters", "show", "--user", taken.id.toUpperCase());
    expect(show).toMatchObject({ code: 0, stdout: expect.stringMatching(/Reason\s+account-conflict: account /) });
    expect(show.stdout).not.toContain(long.email);

    // Nothing changes without a yes.
    const before = await listed();
    expect(await command("dead-letters", "replay", "--dry-run")).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("2 dead letters would be replayed. Nothing was changed."),
    });
    expect(await command("dead-letters", "replay")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("Replay 2 dead letters? Confirm with --yes."),
    });
    expect(await listed()).toEqual(before);

    await office.administer("DELETE", `cloud/users/${accountId(taken)}`);
    office.clavex.updateUser(office.slug, long.id, { last_name: "Lovelace" });
    const replay = await command("dead-letters", "replay", "--yes");
    expect(replay).toMatchObject({ code: 0, stdout: expect.stringContaining("2 sent back, 0 stayed.") });
    await until(listed, (letters) => letters.length === 0);
    expect(await command("dead-letters", "list")).toMatchObject({
      code: 0,
      stdout: "There are no dead letters.\n",
      stderr: "",
    });
    for (const person of [taken, long]) {
      expect(nextcloud.user(accountId(person))).toMatchObject({ backends: ["user_oidc"], displayName: "Ada Lovelace" });
    }
  });

  test("loses nobody when Nextcloud is away while 50 deliveries come and the pipeline is restarted", async () => {
    const { nextcloud, accountId } = office;
    const first = await office.start();
    await nextcloud.down();
    const people = Array.from({ length: 50 }, () => office.person());
    const answers = await Promise.all(people.map((person) => first.deliver("user.created", person)));
    expect(new Set(answers)).toEqual(new Set([202]));
    await first.printed(/job failed .*code=nextcloud-unavailable/);
    await office.stop();
    const second = await office.start();
    await second.printed(/job failed .*code=nextcloud-unavailable/);
    await nextcloud.up();
    await until(
      () => people.filter((person) => nextcloud.user(accountId(person))?.displayName === "Ada Lovelace").length,
      (done) => done === people.length,
    );
    expect(await listed()).toEqual([]);
    expect(nextcloud.users()).toHaveLength(people.length + 1);
  });

  test("brings one person up to date by hand", async () => {
    const { clavex, nextcloud, accountId, command } = office;
    const pipeline = await office.start();
    const ada = office.person();
    const queued = await command("provision", "--organization", office.slug, "--user", ada.id);
    expect(queued).toMatchObject({ code: 0, stdout: expect.stringContaining("up to 20 minutes later") });
    await pipeline.printed(/trigger=manual result=applied/);
    expect(nextcloud.user(accountId(ada))?.enabled).toBe(true);

    // A change that sends no webhook.
    clavex.addMember(office.slug, clavex.addGroup(office.slug, "eng").id, ada.id);
    const json = await command("provision", "--organization", office.slug, "--user", ada.id, "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({ status: "queued", job: { subject: ada.id } });
    await pipeline.printed(/operations=\["join eng"\]/);
    expect(nextcloud.user(accountId(ada))?.groups).toHaveLength(1);

    for (const [args, message] of [
      [["--organization", office.slug, "--user", "ada"], /--user: ada is neither a UUID nor an e-mail address/],
      [["--organization", "nobody", "--user", ada.id], /there is no organization nobody/],
    ] as const) {
      const refused = await command("provision", ...args);
      expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(message) });
    }
  });

  test("decides whether a changed identity is meant, and until then nobody gets a second account", async () => {
    const { nextcloud, command } = office;
    const ada = office.person();
    const first = await office.start();
    await first.deliver("user.created", ada);
    await first.printed(/result=applied/);
    await office.stop();
    const accounts = nextcloud.users().length;
    const accept = (...args: string[]) => command("accept-identity", "--organization", office.slug, ...args);

    await office.configure({ identity: { scheme: "database" } });
    const second = await office.start();
    expect(await second.deliver("user.updated", ada)).toBe(202);
    await second.printed(/job failed .*class=configuration code=identity-changed/);
    expect(nextcloud.users()).toHaveLength(accounts);
    expect(await accept("--dry-run")).toMatchObject({ code: 0, stdout: expect.stringContaining("is not the one") });
    expect(await accept()).toMatchObject({ code: 1, stderr: expect.stringContaining("Confirm with --yes.") });
    expect(nextcloud.users()).toHaveLength(accounts);
    expect(await accept("--yes")).toMatchObject({ code: 0, stdout: expect.stringContaining("Accepted.") });
    await second.printed(/result=applied/);
    expect(nextcloud.user(ada.id)?.backends).toEqual(["Database"]);
    expect(await accept()).toMatchObject({ code: 0, stdout: expect.stringContaining("is the one its accounts") });
  });
});
