import { hash } from "node:crypto";
import * as z from "zod";
import type { Scheme } from "./scheme.ts";

/** Mirrors the settings of the provider in Nextcloud. */
export const userOidcSchema = z
  .strictObject({
    scheme: z.literal("user_oidc"),
    providerId: z.int().positive(),
    uniqueUserIds: z.boolean().default(true),
    providerBasedIds: z.boolean().default(false),
    providerIdentifier: z.string().min(1).optional(),
  })
  .refine((identity) => !identity.providerBasedIds || identity.providerIdentifier !== undefined, {
    path: ["providerIdentifier"],
    message: "is needed with providerBasedIds: the provider's identifier as Nextcloud shows it",
  });

type Settings = z.output<typeof userOidcSchema>;

/** user_oidc computes user and group ids from a claim's value like this (with uniqueUid and providerBasedId). */
function idOf(settings: Settings, value: string): string {
  if (settings.uniqueUserIds) return hash("sha256", `${settings.providerId}_0_${value}`);
  return settings.providerBasedIds ? `${settings.providerIdentifier ?? ""}-${value}` : value;
}

/** The app user_oidc with its own accounts; docs/facts/nextcloud.md 1. */
export const userOidc: Scheme<Settings> = {
  accountId(settings, subject) {
    const id = idOf(settings, subject);
    // It hashes an id of more than 64 bytes once more; group ids it does not.
    return Buffer.byteLength(id) > 64 ? hash("sha256", id) : id;
  },
  groupId: idOf,
  hashesGroupIds: ({ uniqueUserIds }) => uniqueUserIds,
  making: ({ providerId }) => ({ by: "user_oidc", providerId }),
  backend: "user_oidc",
  // Measured: it fails over 255 characters of display name.
  longestName: 255,
  formula({ uniqueUserIds, providerBasedIds, providerId, providerIdentifier }) {
    if (uniqueUserIds) return `sha256("${providerId}_0_" and the subject), as user_oidc does with unique user ids`;
    return providerBasedIds ? `"${providerIdentifier}-" and the subject` : "the subject";
  },
};
