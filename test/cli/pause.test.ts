import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Office, type OfficePipeline, openOffice } from "../support/office.ts";

describe("pause and resume, beside the pipeline on one machine", () => {
  let office: Office;
  let pipeline: OfficePipeline;

  beforeAll(async () => {
    office = await openOffice();
    pipeline = await office.start();
  });
  afterAll(() => office.close());

  test("the one keeps everybody as they are, the other brings up what happened meanwhile", async () => {
    const commands = (...lines: string[]) => Promise.all(lines.map((line) => office.command(...line.split(" "))));
    const [tried, unasked] = await commands("pause --dry-run", "pause");
    expect(tried).toMatchObject({
      code: 0,
      output: expect.stringMatching(/^acme: nobody gets or loses access until resume; [^\n]*\n$/),
    });
    expect(unasked).toMatchObject({ code: 1, output: expect.stringContaining("--yes") });
    const [paused] = await commands("pause --yes");
    expect(paused).toMatchObject({ code: 0, output: expect.stringMatching(/\nPaused\.\n$/) });

    const ada = office.person();
    expect(await pipeline.deliver("user.created", ada)).toBe(202);
    const [again, reconcile, plan] = await commands("pause --yes", "reconcile", "plan");
    expect(again).toMatchObject({ code: 0, output: "acme: is paused already\n" });
    expect(reconcile).toMatchObject({
      code: 1,
      output:
        "acme: nothing was done: it is paused. Look at npx clavex-nextcloud plan, then: npx clavex-nextcloud resume --organization acme\n",
    });
    expect(plan?.output).toMatch(
      /\nacme is paused, nothing of this is done until: npx clavex-nextcloud resume --organization acme\n/,
    );
    for (const line of ["apply", "apply --yes --json"]) {
      const [apply] = await commands(line);
      expect(apply).toMatchObject({ code: 1, output: expect.stringContaining("acme: nothing was done: it is paused") });
      expect(apply?.output).not.toMatch(/Plan:|Apply this now/);
    }
    for (const line of ["provision --user", "provision --wait --json --user"]) {
      const [provision] = await commands(`${line} ${ada.id}`);
      expect(provision).toMatchObject({
        code: 1,
        output:
          "nothing was done: the organization acme is paused\nLook at npx clavex-nextcloud plan, then: npx clavex-nextcloud resume --organization acme\n",
      });
    }
    expect(office.account(ada)).toBeUndefined();

    const [resumed] = await commands("resume --yes");
    expect(resumed).toMatchObject({ code: 0, output: expect.stringMatching(/\nResumed\.\n$/) });
    const [twice, found] = await commands("resume --yes", "reconcile");
    expect(twice).toMatchObject({ code: 0, output: "acme: is not paused\n" });
    expect(found?.output).toMatch(/sent 1 job;/);
    await pipeline.printed(new RegExp(`subject=${ada.id} .*result=applied`));
    expect(office.account(ada)).toMatchObject({ enabled: true });
  });

  test.each(["pause", "resume"])("%s of an organization that there is none of says so", async (name) => {
    expect(await office.command(name, "--yes", "--organization", "nobody")).toMatchObject({
      code: 1,
      output: expect.stringContaining("nobody"),
    });
  });
});
