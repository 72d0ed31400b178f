import { describe, expect, it } from "vitest";
import type { Answer, RecordedRequest } from "../../functions/simulated/server.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

/** Clavex fails for each list that would show one of these people, until its faults are cleared. */
function breakListsWith(company: Company, people: { id: string }[], status: number, body: string): void {
  const isShown = (answer: Answer) => people.some(({ id }) => answer.body?.includes(id));
  company.clavex.faults.add({
    kind: "changed",
    match: ({ path }: RecordedRequest) => /\/users\?/.test(path),
    change: (answer: Answer) => (isShown(answer) ? { status, body } : answer),
  });
}

describe("a page of users that always fails because of one of them", () => {
  it.each([
    ["HTTP 500", 500, '{"error":"Internal Server Error"}'],
    ["a proxy's page", 403, "<html></html>"],
    ["an answer of another form", 200, '{"items":7}'],
  ])("is read in smaller parts (%s): newcomers before it and leavers behind it are found and worked on, and nobody is deprovisioned by absence", async (_, status, body) => {
    const company = withPipeline(await build());
    const person = (letter: string) => company.person({ email: `${letter}@acme.example` });
    const [ada, odd, cy, dora, eve] = ["a", "m", "x", "y", "z"].map(person);
    if (!ada || !odd || !cy || !dora || !eve) throw new Error("five people are needed");
    await company.settle();
    breakListsWith(company, [odd], status, body);
    const ben = person("b");
    company.clavex.suspend(company.slug, cy.id);
    company.clavex.deleteUser(company.slug, eve.id);
    const run = await company.full();
    await company.work();
    expect(run.held).toMatchObject({ reason: "partial-read", holds: "unread" });
    for (const leaver of [cy, eve]) expect(company.account(leaver)).toMatchObject({ enabled: false });
    expect(company.account(ben)).toMatchObject({ enabled: true });
    for (const each of [ada, odd, dora]) expect(company.account(each)).toMatchObject({ enabled: true });
  });

  it("is gone past: newcomers behind it are found, although the ledger does not know them", async () => {
    const company = withPipeline(await build());
    const person = (letter: string) => company.person({ email: `${letter}@acme.example` });
    const [odd] = ["a", "x", "y"].map(person);
    if (!odd) throw new Error("somebody is needed");
    await company.settle();
    breakListsWith(company, [odd], 500, "");
    const newcomers = ["b", "z"].map(person);
    await company.light();
    await company.work();
    for (const each of newcomers) expect(company.account(each)).toMatchObject({ enabled: true });
  });

  it("leaves those as they are who cannot be read alone either, until they can", async () => {
    const company = withPipeline(await build());
    const person = (letter: string) => company.person({ email: `${letter}@acme.example` });
    const [odd, suspended, deleted, cy] = ["a", "x", "y", "z"].map(person);
    if (!odd || !suspended || !deleted || !cy) throw new Error("four people are needed");
    await company.settle();
    breakListsWith(company, [odd, suspended], 500, "");
    const leavers = [suspended, deleted];
    const isTheirs = ({ path }: RecordedRequest) => leavers.some(({ id }) => path.includes(id));
    company.clavex.faults.add({ kind: "status", status: 500, match: isTheirs });
    company.clavex.suspend(company.slug, suspended.id);
    company.clavex.deleteUser(company.slug, deleted.id);
    expect((await company.full()).held).toMatchObject({ reason: "partial-read", people: 2 });
    await company.work();
    for (const each of [odd, suspended, deleted, cy]) expect(company.account(each)).toMatchObject({ enabled: true });
    company.clavex.faults.clear();
    expect((await company.full()).held).toBeUndefined();
    await company.work();
    for (const leaver of leavers) expect(company.account(leaver)).toMatchObject({ enabled: false });
  });
});
