import { randomUUID } from "node:crypto";
import { SIGNATURE_HEADER, sign } from "../functions/clavex/signature.ts";
import { benchOrganization, WEBHOOK_SECRET } from "./organization.ts";

/** The organization that deliveries are about; nobody asks its servers anything. */
export const ORGANIZATION = benchOrganization({
  clavex: "https://id.acme.example",
  nextcloud: "https://cloud.acme.example",
});
const ADDRESS = `https://hooks.acme.example/webhooks/clavex/${ORGANIZATION.slug}`;

export interface Delivery {
  body: string;
  signature: string;
}

export type Receive = (request: Request) => Promise<Response>;

/**
 * Has deliveries accepted, some at once.
 *
 * @returns how many were accepted per second, and how long each took in milliseconds
 * @throws when one is not answered with 202
 */
export async function receiveAll(
  receive: Receive,
  deliveries: Delivery[],
  inFlight: number,
): Promise<{ perSecond: number; times: number[] }> {
  const times: number[] = [];
  const next = deliveries.values();
  const sender = async (): Promise<void> => {
    for (const { body, signature } of next) {
      const started = performance.now();
      // Clavex sends the length too; a Request made here would not have it.
      const headers = {
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        [SIGNATURE_HEADER]: signature,
      };
      const response = await receive(new Request(ADDRESS, { method: "POST", body, headers }));
      const answer = await response.text();
      times.push(performance.now() - started);
      if (response.status !== 202 || answer !== '{"status":"queued"}')
        throw new Error(`a delivery was answered with ${response.status} ${answer}`);
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: inFlight }, sender));
  return { perSecond: (deliveries.length / (performance.now() - started)) * 1000, times };
}

/** A signed delivery about somebody new, as large as a real one. */
export function delivery(): Delivery {
  const now = new Date().toISOString();
  const body = JSON.stringify({
    id: randomUUID(),
    event: "user.updated",
    occurred_at: now,
    data: {
      id: randomUUID(),
      org_id: ORGANIZATION.organizationId,
      email: "ada.lovelace@acme.example",
      first_name: "Ada",
      last_name: "Lovelace",
      avatar_url: "https://acme.example/people/ada.png",
      is_active: true,
      is_email_verified: true,
      mfa_required: false,
      required_actions: null,
      metadata: { nextcloud_quota: "10 GB", department: "Analytical Engines", cost_center: "4711", locale: "en-GB" },
      created_at: now,
      updated_at: now,
    },
  });
  return { body, signature: sign(body, WEBHOOK_SECRET) };
}
