import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Answer, Fault, RecordedRequest } from "../../functions/simulated/server.ts";
import { oddField, oddFieldOf } from "../support/odd-answers.ts";
import { anHour, changes, counted, inOffice, type Office, type Person, READS, tryAll } from "./office.ts";

const replacement = fc.record({ field: fc.nat(999), value: fc.nat(99) });
const TIMEOUT = 3_600_000;

const reads = fc.constantFrom(...READS);

/** What is odd until somebody mends it: nobody but those whom it is about notices, and in the end not even they. */
async function forEver(
  steps: Parameters<Office["change"]>[0][],
  begin: (office: Office) => { odd?: Person; unsure?: ReadonlySet<string> },
): Promise<void> {
  await inOffice(async (office) => {
    const { odd, unsure } = begin(office);
    for (const step of steps) await office.change(step);
    const failures = await office.live(60);
    expect(failures.map(String), "one oddity stopped a run").toEqual([]);
    office.checkForeign();
    office.checkLeavers(odd);
    office.checkConverged(odd, unsure);
    for (const server of ["clavex", "nextcloud"] as const) office.company[server].faults.clear();
    await office.live(60);
    office.checkLeavers();
    office.checkConverged();
    office.checkForeign();
  });
}

describe("odd answers end, or touch one person, who alone may be the exception", () => {
  test("any field of any answer about one person has another JSON type, for ever", { timeout: TIMEOUT }, () =>
    tryAll(
      "odd fields of one person",
      0.25,
      fc.record({ steps: changes, replaced: replacement, server: fc.constantFrom("clavex", "nextcloud") }),
      ({ steps, replaced, server }, counts) =>
        forEver(steps, ({ company, people, accountId }) => {
          const odd = people[0] as Person;
          const fault = oddFieldOf(replaced, [odd.subject, accountId(odd)]);
          company[server].faults.add(counted(counts, fault));
          return { odd, ...(server === "clavex" ? { unsure: odd.groups } : {}) };
        }),
    ),
  );

  test("any field of any answer of a kind has another JSON type for an hour", { timeout: TIMEOUT }, () =>
    tryAll(
      "odd fields for an hour",
      0.2,
      fc.record({ steps: changes, replaced: replacement, read: reads }),
      ({ steps, replaced, read: [server, path] }, counts) => {
        const fault = oddField(replaced, (request) => request.method === "GET" && path.test(request.path));
        return anHour(steps, server, counted(counts, fault));
      },
    ),
  );

  test("any page of accounts fails for ever because of a foreign account, or shows that one oddly", {
    timeout: TIMEOUT,
  }, () => {
    const failing = fc.constantFrom(500, 404).map((status): Fault => {
      const match = ({ path }: RecordedRequest) => path.includes("cloud/users/details");
      const change = (answer: Answer): Answer => (answer.body?.includes("carol") ? { status } : answer);
      return { kind: "changed", match, change };
    });
    const odd = replacement.map((replaced) => oddFieldOf(replaced, ["carol"]));
    return tryAll(
      "odd foreign accounts",
      0.1,
      fc.record({ steps: changes, fault: fc.oneof(failing, odd) }),
      ({ steps, fault }, counts) =>
        forEver(steps, ({ company }) => {
          company.nextcloud.faults.add(counted(counts, fault));
          return {};
        }),
    );
  });
});
