import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { accountId } from "../../functions/core/identity.ts";
import type { Person } from "../../functions/core/person.ts";
import type { DoctorContext } from "../../functions/doctor/context.ts";
import { peopleChecks } from "../../functions/doctor/people.ts";
import { type Choices, organizationOf } from "../core/organization.ts";

const person = (fields: Partial<Person> = {}): Person => ({
  subject: randomUUID(),
  email: "ada@acme.example",
  emailVerified: true,
  firstName: "Ada",
  lastName: "Lovelace",
  active: true,
  erased: false,
  attributes: {},
  updatedAt: "",
  ...fields,
});

/** What a check finds with these people; all that the checks about people read. */
async function find(id: string, people: Person[], own = "provisioner", choices: Choices = {}) {
  const check = peopleChecks.find((each) => each.id === id) ?? expect.fail(id);
  const organization = organizationOf(choices);
  const context = {
    organization,
    directory: {},
    users: async () => people,
    account: async () => ({ id: own }),
  } as unknown as DoctorContext;
  return check.run(context);
}

describe("doctor, of the people", () => {
  it("says when the account that the pipeline works with is one of them", async () => {
    const [ada, grace] = [person(), person()];
    const own = accountId(organizationOf().identity, grace.subject).toUpperCase();
    expect(await find("people.own-account", [ada, grace], own)).toMatchObject({
      status: "warn",
      cause: expect.stringContaining(grace.subject),
      fix: expect.stringContaining("an account of its own"),
    });
    expect(await find("people.own-account", [ada, grace])).toMatchObject({ status: "ok" });
  });

  it("counts those whose address is not verified, and says what follows", async () => {
    const people = [person(), person({ emailVerified: false }), person({ emailVerified: false, active: false })];
    expect(await find("people.verified", people)).toMatchObject({
      status: "warn",
      cause: "1 of 2 active people have an e-mail address that is not verified in Clavex",
      fix: expect.stringContaining("scope.verifiedEmailOnly"),
    });
    const chosen: Choices = { scope: { verifiedEmailOnly: true } };
    expect(await find("people.verified", people, undefined, chosen)).toMatchObject({
      fix: expect.stringContaining("until it is verified"),
    });
    expect(await find("people.verified", [person()])).toMatchObject({ status: "ok" });
  });
});
