import { isAhead } from "../core/clock.ts";
import { isManaged, nextcloudGroup } from "../core/desired.ts";
import { type Decision, type EvaluationInput, evaluate, type GroupQuestion } from "../core/evaluate.ts";
import { Failure, isUndecided } from "../core/failure.ts";
import { schemeOf } from "../core/identity.ts";
import type { Organization } from "../core/organization.ts";
import type { GroupKnowledge } from "../core/plan.ts";
import type { Claims } from "../ledger/claims.ts";
import { groupExists } from "../nextcloud/groups.ts";
import type { Ocs } from "../nextcloud/ocs.ts";

/** The Nextcloud that groups are looked up in. */
export interface Target {
  ocs: Ocs;
  nextcloudOrigin: string;
}

/** Finds out whose Nextcloud groups are, asking the ledger and, where that does not know, Nextcloud. */
export interface GroupLookup {
  /**
   * Evaluates a person, after looking up every group that has to be known for it.
   *
   * @param names the names of the directory's groups that matter; undefined when they are not known
   * @param known what is known of groups already; it gains what was looked up
   */
  evaluate(
    input: Omit<EvaluationInput, "groups">,
    target: Target,
    names: ReadonlySet<string> | undefined,
    known?: Map<string, GroupKnowledge>,
  ): Promise<Decision>;
  /**
   * Writes a group down as the organization's before it is made or joined.
   *
   * @param isGone Nextcloud does not have it: what this container knows of it may have ended since
   * @returns `new` when it was nobody's until now, `ours` when the organization had it before, `other` when another has it
   */
  claim(
    organization: Organization,
    origin: string,
    gid: string,
    name: string,
    isGone?: boolean,
  ): Promise<"new" | "ours" | "other">;
}

/** How long "was there before" is believed. */
const LOCAL_MS = 60_000;
/** How long a claim is: it ends with its group, and somebody may make one of the same id. */
const OWNED_MS = 10 * 60_000;

/** A lookup with a memory of some minutes, so that a known group costs next to no request. */
export function createGroupLookup(claims: Pick<Claims, "group" | "claimGroup">, now: () => number): GroupLookup {
  const memory = createMemory(now);

  async function inLedger(organization: Organization, id: string, origin: string, gid: string) {
    const claim = await claims.group(origin, gid);
    return claim && memory.keep(id, { ownership: ownershipOf(organization, claim.owner), name: claim.name });
  }

  async function look(
    organization: Organization,
    { ocs, nextcloudOrigin }: Target,
    { gid, exists }: GroupQuestion,
    derived: ReadonlyMap<string, string> | undefined,
  ): Promise<GroupKnowledge> {
    const id = memoryKey(organization, nextcloudOrigin, gid);
    const known = memory.get(id) ?? (await inLedger(organization, id, nextcloudOrigin, gid));
    if (known) return known;
    const name = derived?.get(gid);
    // Nobody else makes a group of a hashed id. It becomes ours in the ledger with the first claim.
    if (name !== undefined) return { ownership: "ours", name };
    // Not remembered: somebody may make it before the next look.
    const found = exists || (await againIfOdd(() => groupExists(ocs, gid)).catch(unknownIfOdd));
    if (found === "unknown") return { ownership: "unknown" };
    if (!found) return { ownership: "free" };
    const adopted = adoptedName(organization, gid);
    return (
      // Another container may have claimed and made it since the ledger was asked.
      (await inLedger(organization, id, nextcloudOrigin, gid)) ??
      memory.keep(id, { ownership: "local", ...(adopted === undefined ? {} : { name: adopted }) })
    );
  }

  /** Always-groups are plain ids of the policy: only another organization's claim matters. */
  async function lookAtAlways(organization: Organization, { nextcloudOrigin }: Target, gid: string) {
    const id = `always ${memoryKey(organization, nextcloudOrigin, gid)}`;
    return (
      memory.get(id) ??
      (await inLedger(organization, id, nextcloudOrigin, gid)) ??
      memory.keep(id, { ownership: "local" })
    );
  }

  return {
    async evaluate(input, target, names, known = new Map()) {
      const { organization } = input;
      for (;;) {
        const evaluation = evaluate({ ...input, groups: known });
        if (evaluation.result !== "unknown-groups") return evaluation;
        const { hashesGroupIds } = schemeOf(organization.identity);
        const derived = hashesGroupIds ? derivedNames(organization, names) : undefined;
        const looks = evaluation.questions.map(async (question) => {
          const { gid, always } = question;
          const knowledge = always
            ? await lookAtAlways(organization, target, gid)
            : await look(organization, target, question, derived);
          known.set(gid, knowledge);
        });
        await Promise.all(looks);
      }
    },
    async claim(organization, origin, gid, name, isGone = false) {
      const id = memoryKey(organization, origin, gid);
      if (!isGone && memory.get(id)?.ownership === "ours") return "ours";
      const { claim, written } = await claims.claimGroup(origin, gid, { owner: organization.slug, name });
      const ownership = ownershipOf(organization, claim.owner);
      memory.keep(id, { ownership, name: claim.name });
      return written ? "new" : ownership;
    },
  };
}

/** Makes a harmless call about a group again when it is answered oddly: that may have been a race. */
export function againIfOdd<T>(call: () => Promise<T>): Promise<T> {
  return call().catch((error) => {
    if (error instanceof Failure && isUndecided(error)) return call();
    throw error;
  });
}

/** An odd answer about one group does not stop the rest. */
function unknownIfOdd(error: unknown): "unknown" {
  if (error instanceof Failure && isUndecided(error)) return "unknown";
  throw error;
}

function ownershipOf({ slug }: Organization, owner: string): "ours" | "other" {
  return owner === slug ? "ours" : "other";
}

function memoryKey({ slug }: Organization, origin: string, gid: string): string {
  return `${origin} ${slug} ${gid}`;
}

/** What was found out lately. */
function createMemory(now: () => number) {
  const memory = new Map<string, { knowledge: GroupKnowledge; until: number; longest: number }>();
  return {
    get(id: string): GroupKnowledge | undefined {
      const known = memory.get(id);
      return known && isAhead(known.until, known.longest, now()) ? known.knowledge : undefined;
    },
    keep(id: string, knowledge: GroupKnowledge): GroupKnowledge {
      const owned = knowledge.ownership === "ours" || knowledge.ownership === "other";
      const longest = owned ? OWNED_MS : LOCAL_MS;
      memory.set(id, { knowledge, until: now() + longest, longest });
      return knowledge;
    },
  };
}

/** The Clavex name of a group that the organization adopts, where its id follows from a name. */
function adoptedName(organization: Organization, gid: string): string | undefined {
  return organization.groups.adopt.find((name) => {
    const result = nextcloudGroup(organization, name);
    return "group" in result && result.group.gid === gid;
  });
}

const derivations = new WeakMap<ReadonlySet<string>, Map<string, string>>();

/** The hashed ids of the directory's managed groups, with their names; computed once for each reading of the groups. */
function derivedNames(organization: Organization, names: ReadonlySet<string> | undefined): Map<string, string> {
  const known = names && derivations.get(names);
  if (known) return known;
  const derived = new Map<string, string>();
  if (names) derivations.set(names, derived);
  for (const name of names ?? []) {
    if (!isManaged(organization, name)) continue;
    const result = nextcloudGroup(organization, name);
    if ("group" in result) derived.set(result.group.gid, name);
  }
  return derived;
}
