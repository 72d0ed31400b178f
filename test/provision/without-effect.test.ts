import { describe, expect, it } from "vitest";
import { parametersOf } from "../../functions/simulated/server.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";
import { short } from "../support/requests.ts";

const { build } = useOrganizations();
const OK = JSON.stringify({ ocs: { meta: { status: "ok", statuscode: 200, message: "OK" }, data: [] } });

/** Nextcloud takes a name with an emoji, and stores it without. */
function withoutEmoji(company: Company): void {
  company.nextcloud.faults.add({
    kind: "changed",
    match: (request) => short(request).name === "GET user" || request.path.includes("users/details"),
    change: (answer) => ({ ...answer, body: (answer.body ?? "").replaceAll(" 🚀", "") }),
  });
}

/** A group of another backend: it takes members without a word, and has none. */
function ofAnotherBackend(company: Company, gid: string): void {
  company.nextcloud.addGroup(gid);
  company.nextcloud.faults.add({
    kind: "status",
    status: 200,
    body: OK,
    match: (request) => short(request).name === "POST membership" && parametersOf(request).get("groupid") === gid,
  });
}

async function fullRuns(
  company: Company,
  number: number,
): Promise<{ differences: number; notes: string[]; writes: string[] }[]> {
  const runs = [];
  for (let run = 0; run < number; run += 1) {
    company.clock.now += 24 * 60 * 60_000;
    const mark = company.mark();
    const { report } = await company.full();
    await company.work();
    const notes = report.notes.map(({ note }) => note);
    runs.push({ differences: report.differences.length, notes, writes: company.writesSince(mark) });
  }
  return runs;
}

describe("a write that succeeds without effect", () => {
  it("of a name that Nextcloud stores without its emoji is repeated once, then noted, until something else is desired", async () => {
    const company = withPipeline(await build());
    withoutEmoji(company);
    const ada = company.person({ first_name: "Ada 🚀" });
    await company.settle();
    const [once, ...later] = await fullRuns(company, 4);
    expect(once).toMatchObject({ differences: 1, writes: ["POST user_oidc"] });
    for (const run of later)
      expect(run).toEqual({ differences: 0, notes: [expect.stringContaining("name is left as it is")], writes: [] });
    company.clavex.updateUser(company.slug, ada.id, { first_name: "Augusta" });
    await company.bring(ada);
    expect(company.account(ada)?.displayName).toBe("Augusta Lovelace");
    expect((await fullRuns(company, 1))[0]).toEqual({ differences: 0, notes: [], writes: [] });
  });

  it("of a membership in an LDAP group of `always` is repeated once, then noted; its other people and groups go on", async () => {
    const company = withPipeline(await build({ groups: { always: ["ldap", "staff"] } }));
    ofAnotherBackend(company, "ldap");
    company.nextcloud.addGroup("staff");
    const ada = company.person({}, ["eng"]);
    await company.settle();
    const [once, ...later] = await fullRuns(company, 3);
    expect(once).toMatchObject({ differences: 1, writes: ["POST membership"] });
    for (const run of later)
      expect(run).toEqual({ differences: 0, notes: [expect.stringContaining("group ldap is skipped")], writes: [] });
    company.assign(ada, "ops");
    expect((await fullRuns(company, 1))[0]?.writes).toContain("POST membership");
    expect(company.account(ada)?.groups).toContain(company.groupId("ops"));
  });

  it("is told apart from what somebody changes in Nextcloud again and again: that is put right every time", async () => {
    const company = withPipeline(await build());
    const ada = company.person({}, ["eng"]);
    await company.settle();
    for (let time = 0; time < 4; time += 1) {
      await company.administer("PUT", `cloud/users/${company.accountId(ada)}`, {
        key: "email",
        value: "x@acme.example",
      });
      const [run] = await fullRuns(company, 1);
      expect(run?.differences).toBe(1);
      expect(company.account(ada)?.email).toBe(ada.email.toLowerCase());
    }
  });
});
