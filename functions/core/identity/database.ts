import * as z from "zod";
import type { Scheme } from "./scheme.ts";

export const databaseSchema = z.strictObject({ scheme: z.literal("database") });

/** Accounts of core, which user_oidc adopts at login. */
export const database: Scheme<z.output<typeof databaseSchema>> = {
  accountId: (_settings, subject) => subject,
  groupId: (_settings, name) => name,
  hashesGroupIds: () => false,
  making: () => ({ by: "core" }),
  backend: undefined,
  // Measured: core refuses a longer display name.
  longestName: 64,
  formula: () => "the subject",
};
