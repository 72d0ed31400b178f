import { describe, expect, it } from "vitest";
import { jsonAnswer } from "../../functions/simulated/server.ts";
import { IDENTITIES, useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

describe("an answer that does not show in which groups an account is", () => {
  it.each([
    ["null", null],
    ["nothing", undefined],
    ["objects", [{ gid: "board" }]],
    ["one of several", ["everybody", null]],
  ])("lets nobody stay in a group that they have left: %s", async (_, groups) => {
    const company = withPipeline(await build({ identity: IDENTITIES.raw, groups: { adopt: ["board"] } }));
    company.nextcloud.addGroup("board", "The board");
    const ada = company.person({}, ["board"]);
    await company.settle();
    expect(company.groupsOf(ada)).toEqual(["The board"]);
    company.unassign(ada, "board");
    company.nextcloud.faults.add({
      kind: "changed",
      match: ({ method, path }) => method === "GET" && path.includes(`cloud/users/${company.accountId(ada)}`),
      change({ body = "{}" }) {
        const answer = JSON.parse(body);
        return jsonAnswer(200, { ocs: { ...answer.ocs, data: { ...answer.ocs.data, groups } } });
      },
    });
    await company.light();
    await company.attempt();
    company.nextcloud.faults.clear();
    await company.work();
    await company.full();
    await company.work();
    expect(company.groupsOf(ada)).toEqual([]);
  });
});
