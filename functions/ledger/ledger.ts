import { type Brakes, createBrakes } from "./brake.ts";
import { type Claims, createClaims } from "./claims.ts";
import { createParkedJobs, type ParkedJobs } from "./dead-letters.ts";
import { createEdits, type Edits } from "./edits.ts";
import { createGroupMemory, type GroupMemory } from "./group-memory.ts";
import { createIdentities, type Identities } from "./identity.ts";
import { createLocks, type Locks } from "./locks.ts";
import { createPauses, type Pauses } from "./pause.ts";
import { createRuns, type Runs } from "./runs.ts";
import { createSkeletons, type Skeletons } from "./skeletons.ts";
import { createSubjects, type Subjects } from "./subjects.ts";
import type { Table } from "./table.ts";

/** What the pipeline remembers: small stores over one table. Every method throws LedgerUnavailable. */
export interface Ledger {
  subjects: Subjects;
  claims: Claims;
  deadLetters: ParkedJobs;
  brakes: Brakes;
  locks: Locks;
  identities: Identities;
  pauses: Pauses;
  runs: Runs;
  groups: GroupMemory;
  edits: Edits;
  skeletons: Skeletons;
}

/** @param table DynamoDB's or SQLite's */
export function createLedger(table: Table): Ledger {
  return {
    subjects: createSubjects(table),
    claims: createClaims(table),
    deadLetters: createParkedJobs(table),
    brakes: createBrakes(table),
    locks: createLocks(table),
    identities: createIdentities(table),
    pauses: createPauses(table),
    runs: createRuns(table),
    groups: createGroupMemory(table),
    edits: createEdits(table),
    skeletons: createSkeletons(table),
  };
}
