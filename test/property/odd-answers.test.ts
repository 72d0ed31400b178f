import { describe, expect, test } from "vitest";
import type { Answer, Fault, RecordedRequest } from "../../functions/simulated/server.ts";
import { fc } from "../support/fast-check.ts";
import { oddField, oddFieldOf, unreadableRow } from "../support/odd-answers.ts";
import { anHour, changes, counted, inOffice, type Office, PEOPLE, type Person, READS, tryAll } from "./office.ts";

const replacement = fc.record({ field: fc.nat(999), value: fc.nat(99) });

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

/** A list, page by page, without those with these marks, or with what is left of it in another form. */
function lying(answer: Answer, kind: "skip" | "repeat" | "reverse" | "shrink", marks: string[]): Answer {
  const isMarked = (each: unknown): boolean => marks.some((mark) => JSON.stringify(each).includes(mark));
  const listed = <T>(items: T[]): T[] => {
    if (kind === "skip") return items.filter((each) => !isMarked(each));
    if (kind === "repeat") return items.flatMap((each) => (isMarked(each) ? [each, each] : [each]));
    return kind === "reverse" ? items.toReversed() : items.slice(1);
  };
  const body = JSON.parse(answer.body ?? "null");
  if (Array.isArray(body?.items)) body.items = listed(body.items);
  const users = body?.ocs?.data?.users;
  if (Array.isArray(users)) body.ocs.data.users = listed(users);
  else if (users) body.ocs.data.users = Object.fromEntries(listed(Object.entries(users)));
  return { ...answer, body: JSON.stringify(body) };
}

describe("odd answers end, or touch one person, who alone may be the exception", () => {
  test("any field of any answer about one person has another JSON type, for ever", () =>
    tryAll(
      "odd fields of one person",
      250,
      fc.record({ steps: changes, replaced: replacement, server: fc.constantFrom("clavex", "nextcloud") }),
      ({ steps, replaced, server }, counts) =>
        forEver(steps, ({ company, people, accountId }) => {
          const odd = people[0] as Person;
          const fault = oddFieldOf(replaced, [odd.subject, accountId(odd)]);
          company[server].faults.add(counted(counts, fault));
          return { odd, ...(server === "clavex" ? { unsure: odd.groups } : {}) };
        }),
    ));

  test("any field of any answer of a kind has another JSON type for an hour", () =>
    tryAll(
      "odd fields for an hour",
      200,
      fc.record({ steps: changes, replaced: replacement, read: reads }),
      ({ steps, replaced, read: [server, path] }, counts) => {
        const fault = oddField(replaced, (request) => request.method === "GET" && path.test(request.path));
        return anHour(steps, server, counted(counts, fault));
      },
    ));

  test("Clavex cannot read the row of one person, wherever they stand in its lists, for ever", () =>
    tryAll(
      "rows that Clavex cannot read",
      50,
      fc.record({ steps: changes, unreadable: fc.nat(PEOPLE - 1) }),
      ({ steps, unreadable }, counts) =>
        forEver(steps, ({ company, people }) => {
          const odd = people[unreadable] as Person;
          company.clavex.faults.add(counted(counts, unreadableRow(company.clavex, odd.subject)));
          return { odd };
        }),
    ));

  test("lists of people and accounts skip some, show some twice or in another order, for ever", () => {
    const lie = fc.record({
      kind: fc.constantFrom("skip", "repeat", "reverse", "shrink"),
      person: fc.nat(PEOPLE - 1),
      list: fc.constantFrom(/\/users\?/, /cloud\/users\?/, /cloud\/users\/details/, /cloud\/users(\/details)?\?/),
    });
    return tryAll(
      "lists that lie",
      50,
      fc.record({ steps: changes, lies: fc.array(lie, { minLength: 1, maxLength: 3 }) }),
      ({ steps, lies }, counts) =>
        forEver(steps, ({ company, people, accountId }) => {
          for (const { kind, person, list } of lies) {
            const one = people[person] as Person;
            const marks = [one.subject, accountId(one)];
            const match = ({ method, path }: RecordedRequest) => method === "GET" && list.test(path);
            const fault = counted(counts, { kind: "changed", match, change: (answer) => lying(answer, kind, marks) });
            for (const server of ["clavex", "nextcloud"] as const) company[server].faults.add(fault);
          }
          return {};
        }),
      [
        {
          steps: [{ kind: "delete", person: 0, heard: false }],
          lies: [{ kind: "shrink", person: 0, list: /\/users\?/ }],
        },
      ],
    );
  });

  test("any page of accounts fails for ever because of a foreign account, or shows that one oddly", () => {
    const failing = fc.constantFrom(500, 404).map((status): Fault => {
      const match = ({ path }: RecordedRequest) => path.includes("cloud/users/details");
      const change = (answer: Answer): Answer => (answer.body?.includes("carol") ? { status } : answer);
      return { kind: "changed", match, change };
    });
    const odd = replacement.map((replaced) => oddFieldOf(replaced, ["carol"]));
    return tryAll(
      "odd foreign accounts",
      100,
      fc.record({ steps: changes, fault: fc.oneof(failing, odd) }),
      ({ steps, fault }, counts) =>
        forEver(steps, ({ company }) => {
          company.nextcloud.faults.add(counted(counts, fault));
          return {};
        }),
    );
  });
});
