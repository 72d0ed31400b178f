import { isAhead } from "../core/clock.ts";
import { blockSlots, type EditSlots, type EditVerb, takeSlot } from "../core/edit-slots.ts";
import { PipelineFailure } from "../core/failure.ts";
import type { Organization } from "../core/organization.ts";
import type { Operation } from "../core/plan.ts";
import type { Edits, SlotsOf } from "../ledger/edits.ts";
import { editAccount, patchAccount } from "../nextcloud/accounts.ts";
import type { Target } from "./group-lookup.ts";

export type Edit = Extract<Operation, { kind: "edit" }>;

/**
 * Edits an account as far as there are free slots; see core/edit-slots.ts.
 *
 * @returns what was written; the rest has to wait
 */
export type EditWithinLimit = (
  organization: Organization,
  target: Target,
  id: string,
  edits: readonly Edit[],
) => Promise<Edit[]>;

/** How long it is believed that a server has no PATCH. */
const WITHOUT_PATCH_MS = 60 * 60_000;
const MOST_ATTEMPTS = 20;

/** @param edits the slots that all containers share */
export function createEditWithinLimit(edits: Pick<Edits, "slots" | "putSlots">, now: () => number): EditWithinLimit {
  /** Until when a server is known to have no PATCH, by its base URL. */
  const withoutPatch = new Map<string, number>();

  /** Changes the slots, until nobody else wrote in between. Returns false where there is nothing to change them to. */
  async function change(of: SlotsOf, to: (slots: EditSlots) => EditSlots | undefined): Promise<boolean> {
    for (let attempt = 1; attempt <= MOST_ATTEMPTS; attempt += 1) {
      const { slots, revision } = await edits.slots(of);
      const changed = to(slots);
      if (changed === undefined) return false;
      if (await edits.putSlots(of, changed, revision)) return true;
    }
    throw new PipelineFailure(
      "transient",
      "ledger-conflict",
      "the edits' slots are written by many at once",
      "subject",
    );
  }

  /** Sends one edit if there is a slot for it. */
  async function within<How>(of: SlotsOf, send: () => Promise<How>): Promise<How | "limited"> {
    if (!(await change(of, (slots) => takeSlot(slots, now())))) return "limited";
    const how = await send();
    if (how === "limited") await change(of, (slots) => blockSlots(slots, now()));
    return how;
  }

  return async ({ nextcloud }, { ocs, nextcloudOrigin: origin }, id, all) => {
    const slotsOf = (verb: EditVerb): SlotsOf => ({ origin, account: nextcloud.username, verb });
    const hasPatch = () => !isAhead(withoutPatch.get(origin), WITHOUT_PATCH_MS, now());
    // PATCH takes several in one call. That it clears what is sent empty was never seen.
    const together = all.filter(({ value }) => value !== "");
    const written: Edit[] = [];
    if (together.length > 0 && hasPatch()) {
      const how = await within(slotsOf("PATCH"), () => patchAccount(ocs, id, together));
      if (how === "unknown") withoutPatch.set(origin, now() + WITHOUT_PATCH_MS);
      if (how === "edited") written.push(...together);
    }
    for (const edit of hasPatch() ? all.filter(({ value }) => value === "") : all) {
      const how = await within(slotsOf("PUT"), () => editAccount(ocs, id, edit.key, edit.value));
      if (how === "limited") break;
      written.push(edit);
    }
    return written;
  };
}
