import { describe, expect, it } from "vitest";
import type { Answer, RecordedRequest } from "../../functions/simulated/server.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

/** Clavex fails for each list that would show this person, until its faults are cleared. */
function breakListsWith(company: Company, { id }: { id: string }, status: number, body: string): void {
  company.clavex.faults.add({
    kind: "changed",
    match: ({ path }: RecordedRequest) => /\/users\?/.test(path),
    change: (answer: Answer) => (answer.body?.includes(id) ? { status, body } : answer),
  });
}

describe("a page of users that always fails because of one of them", () => {
  it.each([
    ["HTTP 500", 500, '{"error":"Internal Server Error"}'],
    ["a proxy's page", 403, "<html></html>"],
    ["an answer of another form", 200, '{"items":7}'],
  ])("is read in smaller parts (%s): newcomers before it and leavers behind it are found, and nobody is deprovisioned by absence", async (_, status, body) => {
    const company = withPipeline(await build());
    const person = (letter: string) => company.person({ email: `${letter}@acme.example` });
    const [ada, odd, cy, dora] = ["a", "m", "x", "y"].map(person);
    if (!ada || !odd || !cy || !dora) throw new Error("four people are needed");
    await company.settle();
    breakListsWith(company, odd, status, body);
    const ben = person("b");
    company.clavex.suspend(company.slug, cy.id);
    const run = await company.full();
    await company.work();
    expect(run.held).toBeDefined();
    expect(company.account(ben)).toMatchObject({ enabled: true });
    for (const each of [ada, odd, dora]) expect(company.account(each)).toMatchObject({ enabled: true });
    company.clavex.faults.clear();
    await company.full();
    await company.work();
    expect(company.account(cy)).toMatchObject({ enabled: false });
  });
});
