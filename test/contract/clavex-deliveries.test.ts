import { describe, expect, it } from "vitest";
import { type Hint, parseDelivery } from "../../functions/clavex/events.ts";
import { verifySignature } from "../../functions/clavex/signature.ts";
import { parseSnapshot, snapshotOf } from "../../functions/clavex/snapshot.ts";
import { RECORDED, type RecordedDelivery } from "./clavex-target.ts";
import { load } from "./recordings.ts";

/* Every delivery recorded at a real Clavex is verified, parsed, and means what its note says. */

const deliveries = load<RecordedDelivery>("clavex-deliveries.jsonl");
/** A redirected POST arrives as a GET without a body: no delivery any more, and its signature says so. */
const arrived = deliveries.filter(({ request }) => request.method === "POST");

const bytes = ({ request }: RecordedDelivery): Buffer => Buffer.from(request.body);
const signature = ({ request }: RecordedDelivery): string => request.headers["X-Clavex-Signature"] ?? "";
const hint = (delivery: RecordedDelivery): Hint => parseDelivery(bytes(delivery), RECORDED.id);
const noted = (note: string): RecordedDelivery => {
  const found = deliveries.find((each) => each.note === note);
  if (found === undefined) throw new Error(`no delivery ${note}`);
  return found;
};

const ADA = "77677b89-9ecc-4f23-b954-b8eebb017c19";
const TZ = "508ddd5b-7dae-43bb-8a13-b3f718076583";
const ODD = "673f2e2b-d9c0-4d85-8d23-158a778787dc";
const SCIM = "a030dd34-be31-4fc1-8db1-4558a506484b";
const GROUP = "1398d69b-3efc-4c92-8733-72b3ef12a10a";
const about = (event: string, subject: string, what = "user") => ({
  event,
  concerns: "subject",
  about: what,
  subject,
});
const ofGroup = (event: string, group: Record<string, string>) => ({ event, concerns: "group", group });

const meaning: Record<string, Record<string, unknown>> = {
  "user.created of a person made with a password; < & > and U+2028 are escaped": about("user.created", ADA),
  "the same event at a second subscription: same id, other secret": about("user.created", ADA),
  "user.updated: suspended": about("user.updated", "ca3ba762-427d-4854-9e09-1a696ef7e74b"),
  "user.deleted": about("user.deleted", "22fd206c-6d42-498e-a8d0-e215536f3611", "deletion"),
  "first burst, attempt 1 (answered 503)": about("user.created", ADA),
  "first burst, attempt 3 (answered 503)": about("user.created", ADA),
  "second burst, attempt 1: body read back from JSONB: other order, spaces, characters no longer escaped; signed anew":
    about("user.created", ADA),
  "manual retry, JSONB form, answered 200": about("user.created", "c10fa5ca-e772-4659-b2d1-c8a9bdc9b82d"),
  "answered 302": about("user.created", ADA),
  "server in another time zone: times of the user with offset, occurred_at UTC": about("user.created", TZ),
  "the same, user.updated": about("user.updated", TZ),
  "user.created with emoji, quotes, no-break space": about("user.created", ODD),
  "user.updated with free metadata (PUT attributes adds id and org_id; big numbers lose digits)": about(
    "user.updated",
    ODD,
  ),
  "user.updated with free metadata, manual retry, JSONB form": about("user.updated", ODD),
  "user.created with emoji, quotes, no-break space (retry, JSONB form)": about("user.created", ODD),
  "audit sink: scim.user.create": about("scim.user.create", SCIM),
  "audit sink: scim.user.update": about("scim.user.update", SCIM),
  "audit sink: scim.user.deactivate": about("scim.user.deactivate", SCIM),
  "audit sink: scim.user.delete": about("scim.user.delete", SCIM, "deletion"),
  "audit sink: group.created": ofGroup("group.created", { name: "Vertrieb / Süd & <x>" }),
  "audit sink: group.updated": ofGroup("group.updated", { id: GROUP }),
  "audit sink: group.deleted": ofGroup("group.deleted", { id: GROUP }),
};

describe("recorded deliveries", () => {
  it.each(deliveries)("verify by their secret alone: $note", (delivery) => {
    const { secret, signature_valid: valid } = delivery;
    expect(verifySignature(bytes(delivery), signature(delivery), [secret])).toBe(valid);
    expect(verifySignature(bytes(delivery), signature(delivery), ["another-secret", secret])).toBe(valid);
    expect(verifySignature(bytes(delivery), signature(delivery), [Buffer.from(secret, "hex").toString("latin1")])).toBe(
      false,
    );
  });

  it.each(arrived)("are parsed, and mean what the note says: $note", (delivery) => {
    expect(hint(delivery)).toMatchObject(meaning[delivery.note] ?? { note: "has no meaning here" });
  });

  it("all have a meaning here", () => {
    expect(Object.keys(meaning).sort()).toEqual(arrived.map(({ note }) => note).sort());
  });

  it("are refused where they are posted to another organization's address", () => {
    for (const delivery of arrived) {
      expect(() => parseDelivery(bytes(delivery), "00000000-0000-4000-8000-000000000000")).toThrow(
        /another organization/,
      );
    }
  });

  it.each([
    [
      "first burst, attempt 1 (answered 503)",
      "second burst, attempt 1: body read back from JSONB: other order, spaces, characters no longer escaped; signed anew",
    ],
    [
      "user.updated with free metadata (PUT attributes adds id and org_id; big numbers lose digits)",
      "user.updated with free metadata, manual retry, JSONB form",
    ],
    [
      "user.created with emoji, quotes, no-break space",
      "user.created with emoji, quotes, no-break space (retry, JSONB form)",
    ],
  ])("a retry with another body and signature is the same hint: %s", (first, retry) => {
    expect(noted(retry).request.body).not.toBe(noted(first).request.body);
    expect(hint(noted(retry))).toEqual(hint(noted(first)));
  });

  it("hold a user that provisioning can read, in any time zone", () => {
    const read = (note: string) => {
      const found = hint(noted(note));
      return parseSnapshot(snapshotOf("data" in found ? found.data : undefined, "nextcloud_quota"));
    };
    expect(read("user.updated: suspended")).toMatchObject({ active: false, attributes: { nextcloud_quota: "5 GB" } });
    expect(read("server in another time zone: times of the user with offset, occurred_at UTC")).toMatchObject({
      updatedAt: "2026-11-25T18:06:01.484024000Z",
    });
    expect(read("user.updated with free metadata, manual retry, JSONB form")).toMatchObject({
      firstName: "Zoë 🚀",
      attributes: { nextcloud_quota: "10 GB" },
    });
    expect(read("user.deleted")).toBeUndefined();
  });
});
