import { readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod";
import { makeFolder, writeOwnFile } from "../folders.ts";

const recordSchema = z.object({
  apiKey: z.union([z.literal(true), z.string()]).optional(),
  webhook: z.string().optional(),
  /** With a fingerprint of the secret that it signs with. */
  sink: z.union([z.string(), z.object({ id: z.string(), secret: z.string() })]).optional(),
  client: z.string().optional(),
  /** What was added to a client that was there before. */
  redirectUris: z.object({ client: z.string(), added: z.array(z.string()) }).optional(),
  mappers: z.array(z.string()).optional(),
  mappersOf: z.string().optional(),
  provider: z.number().optional(),
  serviceAccount: z.string().optional(),
  /** Only recorded as measured; nothing to undo. */
  skeleton: z.enum(["default", "empty"]).optional(),
  secrets: z.array(z.enum(["webhook", "apiKey", "appPassword", "clientSecret"])).optional(),
  organizationFile: z.literal(true).optional(),
  localLogin: z.literal(true).optional(),
});

/** What setup created for an organization, by id. It holds no secrets, and nothing that existed before. */
export type Made = z.output<typeof recordSchema>;

/** What the entries of the record are, in words; an entry without any belongs to another one. */
export const MADE_IN_WORDS: Readonly<Record<keyof Made, string | undefined>> = {
  apiKey: "Clavex: API key",
  webhook: "Clavex: webhook subscription",
  sink: "Clavex: audit sink",
  client: "Clavex: OIDC client",
  redirectUris: "Clavex: redirect URIs of a client that was there before",
  mappers: "Clavex: claims of the client",
  mappersOf: undefined,
  provider: "Nextcloud: login provider",
  serviceAccount: "Nextcloud: service account",
  skeleton: "Nextcloud: skeleton, measured",
  secrets: "Secrets",
  organizationFile: "Organization file",
  localLogin: "Nextcloud: local login, switched off",
};

/** The record of what setup created, so that exactly that can be undone. */
export interface SetupRecord {
  read(): Promise<Made>;
  /** Records changes; undefined removes an entry. */
  write(change: { [K in keyof Made]?: Made[K] | undefined }): Promise<void>;
}

/**
 * Keeps the record in a file; an empty record has none.
 *
 * @param makeItsFolder creates the file's folder, if it is missing
 */
export function recordFile(path: string, makeItsFolder: (folder: string) => void = makeFolder): SetupRecord {
  const read = async (): Promise<Made> => {
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return "{}";
      throw error;
    });
    return recordSchema.parse(JSON.parse(text));
  };
  return {
    read,
    async write(change) {
      // JSON leaves out what is undefined: that is how entries are removed.
      const text = JSON.stringify({ ...(await read()), ...change }, undefined, 2);
      if (text === "{}") return rm(path, { force: true });
      makeItsFolder(dirname(path));
      await writeOwnFile(path, `${text}\n`);
    },
  };
}
