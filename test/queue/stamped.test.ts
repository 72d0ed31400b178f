import { expect, test } from "vitest";
import type { Job } from "../../functions/core/job.ts";
import { openDatabase } from "../../functions/database.ts";
import { parseJob } from "../../functions/queue/parse-job.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { stamped } from "../../functions/queue/stamped.ts";
import { personJob } from "../support/jobs.ts";

const [ADA, GRACE] = ["6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21", "a2b4c6d8-1e3f-4a5b-8c7d-9e0f1a2b3c4d"];

test("a job says which document of its organization it was planned with, also one that is sent again; without, nothing is said", async () => {
  const database = openDatabase(undefined);
  const queue = createSqliteQueue(database, { visibilitySeconds: 30 });
  const sender = stamped(queue, async (slug) => (slug === "acme" ? "new" : undefined));
  const before: Job = { ...personJob("acme", ADA), configuration: "old" };
  await sender.send(before, "one");
  await sender.sendAll([personJob("acme", GRACE), { ...personJob("other", ADA), configuration: "old" }], "two");
  const messages = await queue.receive({ most: 10, waitSeconds: 0 });
  const sent = messages.map(({ body }) => parseJob(body));
  expect(sent.map(({ organization, configuration }) => [organization, configuration])).toEqual([
    ["acme", "new"],
    ["acme", "new"],
    ["other", undefined],
  ]);
  database.close();
});
