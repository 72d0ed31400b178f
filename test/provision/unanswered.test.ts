import { describe, expect, it } from "vitest";
import { resultOf } from "../support/jobs.ts";
import { type Choices, useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";
import { named } from "../support/requests.ts";

const { build } = useOrganizations();
const MINUTE = 60_000;

/** Ada comes back; PUT enable is not answered, and she is suspended again before anything else happens. */
async function suspendedAgain(choices: Choices = {}): Promise<{ company: Company; ada: { id: string } }> {
  const company = withPipeline(await build(choices));
  const { clavex, slug } = company;
  const ada = company.person();
  const deliver = (is_active: boolean) =>
    company.provisionNow(company.webhook(clavex.updateUser(slug, ada.id, { is_active })));
  await deliver(true);
  await deliver(false);
  company.nextcloud.faults.add({ kind: "status", status: 504, match: named("PUT enable"), times: 1 });
  expect(await resultOf(deliver(true))).not.toBe("applied");
  expect((await company.record(ada))?.unanswered).toBe(company.clock.now);
  expect(await resultOf(deliver(false))).toBe(choices.apiKey === false ? "write-unanswered" : "unchanged");
  return { company, ada };
}

/** The old request takes effect after all. */
const takeEffect = (company: Company, ada: { id: string }): Promise<void> =>
  company.administer("PUT", `cloud/users/${company.accountId(ada)}/enable`);

describe("PUT enable is not answered, the person is suspended again, then the old request takes effect", () => {
  it("the first light run at least five minutes later looks again, and they are disabled", async () => {
    const { company, ada } = await suspendedAgain();
    await takeEffect(company, ada);
    expect(company.account(ada)?.enabled).toBe(true);
    expect(await company.light()).toMatchObject({ sent: 0 });
    company.clock.now += 5 * MINUTE;
    expect(await company.light()).toMatchObject({ sent: 1 });
    await company.work();
    expect(company.account(ada)?.enabled).toBe(false);
    expect((await company.record(ada))?.unanswered).toBeUndefined();
    expect(await company.light()).toMatchObject({ sent: 0 });
  });

  it("a job that is done in between does not count as that look", async () => {
    const { company, ada } = await suspendedAgain();
    await company.bring(ada);
    await takeEffect(company, ada);
    company.clock.now += 5 * MINUTE;
    await company.light();
    await company.work();
    expect(company.account(ada)?.enabled).toBe(false);
  });

  it("without an API key the message itself goes back until five minutes are over", async () => {
    const { company, ada } = await suspendedAgain({ apiKey: false });
    await takeEffect(company, ada);
    company.clock.now += 5 * MINUTE;
    const user = company.clavex.user(company.slug, ada.id) ?? expect.fail();
    expect(await resultOf(company.provisionNow(company.webhook(user)))).toBe("applied");
    expect(company.account(ada)?.enabled).toBe(false);
  });
});

describe.each([
  ["the making of an account", "POST user_oidc", {}],
  ["a join", "POST membership", { groups: ["eng"] }],
] as const)("%s that is not answered", (_what, request, { groups = [] }: { groups?: readonly string[] }) => {
  it("leaves the mark, which the next success within five minutes keeps and a later one removes", async () => {
    const company = withPipeline(await build());
    const ada = company.person({}, [...groups]);
    // A join is tried twice at once: parallel joins fail now and then.
    company.nextcloud.faults.add({ kind: "status", status: 504, match: named(request), times: 2 });
    expect(await resultOf(company.bring(ada))).not.toBe("applied");
    const { unanswered } = (await company.record(ada)) ?? expect.fail();
    expect(unanswered).toBe(company.clock.now);
    company.nextcloud.faults.clear();
    await company.bring(ada);
    expect((await company.record(ada))?.unanswered).toBe(unanswered);
    company.clock.now += 5 * MINUTE;
    await company.bring(ada);
    expect((await company.record(ada))?.unanswered).toBeUndefined();
  });
});
