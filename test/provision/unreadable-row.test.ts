import { describe, expect, it } from "vitest";
import { resultOf } from "../support/jobs.ts";
import { unreadableRow } from "../support/odd-answers.ts";
import { useOrganizations } from "../support/organization.ts";
import { withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

/** Settled people, whose e-mail addresses begin with these letters, and the one of `odd` broken. */
async function settled(letters: string, odd: string) {
  const company = withPipeline(await build());
  const people = new Map([...letters].map((letter) => [letter, company.person({ email: `${letter}@acme.example` })]));
  const of = (letter: string) => people.get(letter) ?? expect.fail(`nobody is called ${letter}`);
  await company.settle();
  company.clavex.faults.add(unreadableRow(company.clavex, of(odd).id));
  return { company, of };
}

describe("a person whose row Clavex cannot read", () => {
  it("is not gone, although a request for them alone is answered 404: they keep their account, by a webhook and by a full run", async () => {
    const { company, of } = await settled("abcm", "m");
    for (let attempt = 1; attempt <= 5; attempt += 1)
      expect(await resultOf(company.bring(of("m")))).toMatch(/^clavex-user-unreadable$|^parked$/);
    await company.full();
    await company.work();
    expect(company.account(of("m"))).toMatchObject({ enabled: true });
    expect(await company.record(of("m"))).toMatchObject({ state: "active" });
  });

  it("is disabled once they are really gone", async () => {
    const { company, of } = await settled("abcm", "m");
    expect(await resultOf(company.bring(of("m")))).toBe("clavex-user-unreadable");
    company.clavex.deleteUser(company.slug, of("m").id);
    expect(await resultOf(company.bring(of("m")))).toBe("applied");
    expect(company.account(of("m"))).toMatchObject({ enabled: false });
  });

  it.each([
    "a",
    "b",
  ])("keeps nobody else's departure from being believed, also where they come first by address: %s", async (odd) => {
    const { company, of } = await settled("abcd", odd);
    company.clavex.deleteUser(company.slug, of("d").id);
    await company.full();
    await company.work();
    expect(company.account(of("d"))).toMatchObject({ enabled: false });
    expect(company.account(of(odd))).toMatchObject({ enabled: true });
    company.clavex.updateUser(company.slug, of("c").id, { last_name: "King" });
    expect(await resultOf(company.bring(of("c")))).toBe("applied");
  });
});
