import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod";

const recordSchema = z.object({
  apiKey: z.literal(true).optional(),
  webhook: z.string().optional(),
  sink: z.string().optional(),
  client: z.string().optional(),
  mappers: z.array(z.string()).optional(),
  provider: z.number().optional(),
  secrets: z.array(z.enum(["webhook", "apiKey", "appPassword", "clientSecret"])).optional(),
  organizationFile: z.literal(true).optional(),
  localLogin: z.literal(true).optional(),
});

/** What setup has made for an organization, by id; no secrets. What was there before is not in it. */
export type Made = z.output<typeof recordSchema>;

/** The record of what setup made, so that exactly that can be taken back. */
export interface SetupRecord {
  read(): Promise<Made>;
  /** Writes some things down; undefined forgets them. */
  write(change: { [K in keyof Made]?: Made[K] | undefined }): Promise<void>;
}

/** Keeps the record in a file; an empty record has none. */
export function recordFile(path: string): SetupRecord {
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
      // JSON leaves out what is undefined: that is how things are forgotten.
      const text = JSON.stringify({ ...(await read()), ...change }, undefined, 2);
      if (text === "{}") return rm(path, { force: true });
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, `${text}\n`);
    },
  };
}
