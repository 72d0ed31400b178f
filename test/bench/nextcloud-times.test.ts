import { expect, it } from "vitest";
import { bareLoop, connect, curlLoop } from "../../bench/loops.ts";
import { nextcloudTimes, PROFILE_NAMES, type ProfileName, timeOf } from "../../bench/nextcloud-times.ts";
import { startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

const OIDC = "/ocs/v2.php/apps/user_oidc/api/v1/user?format=json";
const cookie = "oc_sessionPassphrase=abc";
const request = (method: string, path: string, headers = {}) => ({ method, path, headers, body: "userId=ada" });
const read = request("GET", "/ocs/v2.php/cloud/users/ada?format=json");
const write = request("POST", OIDC);
const kept = { ...write, headers: { cookie } };
const known = () => true;
const unknown = () => false;

it("calls take as long as they were measured: those per second of docs/facts/nextcloud.md 9", () => {
  const perSecond = (profile: ProfileName, of: typeof read, connections: number, exists = unknown) =>
    Math.round((connections / timeOf(profile, of, connections, exists)) * 10_000) / 10;
  expect(perSecond("27", read, 1)).toBe(25);
  expect(perSecond("27", write, 4)).toBe(12.5);
  expect(perSecond("34", read, 1)).toBe(32);
  expect(perSecond("34", write, 4)).toBe(12.5);
  expect(perSecond("34", kept, 4)).toBe(13.5);
  expect(perSecond("34", kept, 4, known)).toBe(82.5);
  expect(perSecond("34-skeleton", write, 1)).toBe(2.6);
  expect(perSecond("34-skeleton", kept, 4)).toBe(2.7);
  expect(perSecond("34-skeleton", kept, 4, known)).toBe(0.9);
});

it("what was not measured lies between what was: 34 with 2 connections, and with more than 4 no more is done", () => {
  const [one, two, four, eight] = [1, 2, 4, 8].map((n) => n / timeOf("34", read, n, unknown));
  expect((two ?? 0) - (one ?? 0)).toBeCloseTo(((four ?? 0) - (one ?? 0)) / 3);
  expect(eight).toBeCloseTo(four ?? 0);
});

it("a kept session saves a third of a read on 27, and makes repeats slower on 34 with a skeleton", () => {
  const share = (profile: ProfileName, of: typeof read, exists = known) =>
    timeOf(profile, { ...of, headers: { cookie } }, 1, exists) / timeOf(profile, of, 1, exists);
  expect(share("27", read)).toBeCloseTo(0.67);
  expect(share("34", write)).toBeLessThan(0.6);
  expect(share("34-skeleton", write)).toBeGreaterThan(4);
});

it.each(PROFILE_NAMES)("a simulated Nextcloud answers like the measured one: %s", async (profile) => {
  const times = nextcloudTimes({ profile, scale: 1_000, exists: unknown });
  const nextcloud = await startSimulatedNextcloud({ serviceTime: times.of });
  try {
    const person = { subject: "5f0c3d5e-0000-4000-8000-000000000001", displayName: "Ada", email: "", groups: [] };
    for (const loop of [bareLoop, curlLoop]) {
      const { call, close } = connect(nextcloud, loop);
      await loop.callsFor(call, person);
      await close();
    }
    const alone = nextcloud.requests.map((each) => timeOf(profile, each, 1, unknown));
    expect(times.total()).toBeCloseTo(alone.reduce((sum, ms) => sum + ms) / 1_000);
  } finally {
    await nextcloud.close();
  }
});
