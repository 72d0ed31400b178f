import { environmentSecrets, type Secrets } from "../config/secrets.ts";
import { type Organization, organizationSchema } from "../core/organization.ts";
import { type ClavexUser, DEFAULT_ADMIN_TOKEN, type SimulatedClavex, startSimulatedClavex } from "./clavex.ts";
import { DEFAULT_APP_PASSWORD, type SimulatedNextcloud, startSimulatedNextcloud } from "./nextcloud.ts";
import { jsonAnswer, type RecordedRequest } from "./server.ts";

/** The demo organization between a simulated Clavex and a simulated Nextcloud. */
export interface DemoSystems {
  organization: Organization;
  secrets: Secrets;
  clavex: SimulatedClavex;
  nextcloud: SimulatedNextcloud;
  people: Record<keyof typeof DEMO_PEOPLE, ClavexUser>;
  close(): Promise<void>;
}

export const DEMO_SLUG = "acme";
/** Signs the demo's deliveries. It protects nothing: the demo holds only made-up people. */
export const DEMO_WEBHOOK_SECRET = "demo-webhook-secret-that-protects-nothing";
/** An administrator's token of the demo's Clavex; it protects nothing either. */
export const DEMO_ADMIN_TOKEN = DEFAULT_ADMIN_TOKEN;
export const DEMO_ORGANIZATION_ID = "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10";
/** The people of the demo, with the group that each of them is in. */
export const DEMO_PEOPLE = {
  ada: demoPerson("6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21", "Ada", "Lovelace", "Engineering"),
  grace: demoPerson("a2b4c6d8-1e3f-4a5b-8c7d-9e0f1a2b3c4d", "Grace", "Hopper", "Engineering"),
  linus: demoPerson("c0ffee00-5e1f-4d2c-9b3a-7f6e5d4c3b2a", "Linus", "Pauling", "Sales"),
};
/** The path that makes the demo's Nextcloud answer badly for a while: POST `{"seconds": 60, "refuse": false}`. */
export const DEMO_BREAK_PATH = "/demo/break";
const API_KEY = "clv_demo_key_that_protects_nothing";

/** The demo organization's configuration, as a file for it would hold it. */
export function demoOrganization(clavexUrl: string, nextcloudUrl: string): Organization {
  return organizationSchema.parse({
    slug: DEMO_SLUG,
    organizationId: DEMO_ORGANIZATION_ID,
    clavex: { baseUrl: clavexUrl, webhookSecrets: ["env:WEBHOOK_SECRET"], apiKey: "env:API_KEY" },
    nextcloud: { baseUrl: nextcloudUrl, username: "provisioner", password: "env:APP_PASSWORD", skeleton: "empty" },
    identity: { scheme: "user_oidc", providerId: 1, uniqueUserIds: true },
    quota: { default: "5 GB", byGroup: { Finance: "50 GB" } },
  });
}

/** The demo's secrets; none of them protects anything. */
export function demoSecrets(): Secrets {
  return environmentSecrets({ WEBHOOK_SECRET: DEMO_WEBHOOK_SECRET, API_KEY, APP_PASSWORD: DEFAULT_APP_PASSWORD });
}

/** Starts both simulated systems with three people: Ada has just joined, Grace and Linus have been there for a while. */
export async function startDemoSystems(): Promise<DemoSystems> {
  const clavex = await startSimulatedClavex({
    organizations: [
      { id: DEMO_ORGANIZATION_ID, slug: DEMO_SLUG, apiKey: API_KEY, permissions: ["users:read", "groups:read"] },
    ],
    // The demo's pipeline has started with this secret before anybody subscribes it.
    webhookSecret: DEMO_WEBHOOK_SECRET,
  });
  const nextcloud = await startSimulatedNextcloud({ skeleton: {} });
  letItBreak(nextcloud);
  const people = Object.entries(DEMO_PEOPLE).map(([name, { group, ...person }]) => {
    const user = clavex.addUser(DEMO_SLUG, person);
    const existing = clavex.groupByName(DEMO_SLUG, group) ?? clavex.addGroup(DEMO_SLUG, group);
    clavex.addMember(DEMO_SLUG, existing.id, user.id);
    return [name, user];
  });
  return {
    organization: demoOrganization(clavex.url, nextcloud.url),
    secrets: demoSecrets(),
    clavex,
    nextcloud,
    people: Object.fromEntries(people),
    async close() {
      await Promise.all([clavex.close(), nextcloud.close()]);
    },
  };
}

/** Makes the simulated Nextcloud unavailable, or refuse writes, for the requested time. */
function letItBreak({ faults }: SimulatedNextcloud): void {
  let [until, refuse] = [0, false];
  const asks = ({ path }: RecordedRequest) => path === DEMO_BREAK_PATH;
  const isBroken = (request: RecordedRequest) => Date.now() < until && !asks(request);
  // A code that means the same for every call: 101, 102 and 103 say of some that the account or the group is gone.
  const refusal = {
    ocs: { meta: { status: "failure", statuscode: 112, message: "refused, as the demo was told to" }, data: [] },
  };
  faults.add({
    kind: "changed",
    match: asks,
    change: (_answer, { body }) => {
      const asked = JSON.parse(body) as { seconds: number; refuse: boolean };
      [until, refuse] = [Date.now() + asked.seconds * 1_000, asked.refuse];
      return jsonAnswer(200, asked);
    },
  });
  faults.add({ kind: "status", status: 503, match: (request) => isBroken(request) && !refuse });
  faults.add({
    kind: "status",
    status: 400,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(refusal),
    match: (request) => isBroken(request) && refuse && request.method !== "GET",
  });
}

function demoPerson(id: string, first_name: string, last_name: string, group: string) {
  return { id, email: `${first_name.toLowerCase()}@acme.example`, first_name, last_name, group };
}
