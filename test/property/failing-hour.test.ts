import { describe, test } from "vitest";
import type { Fault } from "../../functions/simulated/server.ts";
import { fc } from "../support/fast-check.ts";
import { anHour, changes, counted, READS, tryAll } from "./office.ts";

const STATUSES: Fault[] = [
  { kind: "status", status: 500 },
  { kind: "status", status: 404 },
  { kind: "status", status: 403, headers: { "content-type": "text/html" }, body: "<html>no</html>" },
  { kind: "status", status: 200, headers: { "content-type": "text/html" }, body: "<html>sign in</html>" },
  { kind: "status", status: 503, headers: { "retry-after": "31536000" } },
  { kind: "reset" },
  { kind: "cut" },
];
const statuses = fc.constantFrom(...STATUSES);

const WRITES: RegExp[] = [
  /^PUT .*\/disable/,
  /^PUT .*\/enable/,
  /^POST .*user_oidc/,
  /^POST .*\/groups\?/,
  /^POST .*cloud\/groups\?/,
  /^DELETE .*\/groups\?/,
  /^(?!GET)/,
];

describe("what fails for an hour, and then does not, leaves no trace", () => {
  test("any page, and any read", () =>
    tryAll(
      "failing reads",
      150,
      fc.record({ steps: changes, fault: statuses, read: fc.constantFrom(...READS) }),
      ({ steps, fault, read: [server, path] }, counts) =>
        anHour(
          steps,
          server,
          counted(counts, { ...fault, match: (request) => request.method === "GET" && path.test(request.path) }),
        ),
    ));

  test("any write, before or after its work", () =>
    tryAll(
      "failing writes",
      300,
      fc.record({ steps: changes, fault: statuses, write: fc.constantFrom(...WRITES), after: fc.boolean() }),
      ({ steps, fault, write, after }, counts) =>
        anHour(
          steps,
          "nextcloud",
          counted(counts, { ...fault, after, match: ({ method, path }) => write.test(`${method} ${path}`) }),
        ),
    ));
});
