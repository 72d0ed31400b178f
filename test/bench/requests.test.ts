import { expect, it } from "vitest";
import { countRequests, LEAST_REQUESTS } from "../../bench/rows/requests.ts";
import { startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

it("each person costs Nextcloud the fewest requests, whatever has happened to them", async () => {
  const counted = await countRequests(undefined);
  const pipeline = Object.entries(counted).map(([name, count]) => [name, count.pipeline]);
  expect(Object.fromEntries(pipeline)).toEqual(LEAST_REQUESTS);
});

it("leaves nothing behind on a server that is not its own", async () => {
  const nextcloud = await startSimulatedNextcloud({
    groups: [{ gid: "staff" }],
    users: [{ id: "carol", groups: ["staff"] }],
  });
  try {
    const before = { users: nextcloud.users(), groups: nextcloud.groups() };
    const { url, username, password } = nextcloud;
    await countRequests({ url, username, password });
    expect({ users: nextcloud.users(), groups: nextcloud.groups() }).toEqual(before);
  } finally {
    await nextcloud.close();
  }
});
