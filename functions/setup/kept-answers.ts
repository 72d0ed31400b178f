import { readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod";
import { makeStateFolder } from "../database.ts";
import { writeOwnFile } from "../folders.ts";

const text = z.string().optional();
const keptSchema = z.object({
  clavexUrl: text,
  slug: text,
  adminEmail: text,
  adminOrganization: text,
  organizationId: text,
  webhookUrl: text,
  nextcloudUrl: text,
  username: text,
  providerId: text,
  providerIdentifier: text,
  providerName: text,
});

/** What was answered and holds no secret. */
export type Kept = { [K in keyof z.output<typeof keptSchema>]?: string | undefined };

/** The last answers: a run that is repeated suggests them. */
export interface KeptAnswers {
  read(): Promise<Kept>;
  /** Keeps answers beside those that are there. */
  write(answers: Kept): Promise<void>;
  /** Forgets them all. */
  forget(): Promise<void>;
}

/** Keeps answers in a file of the state folder. One that cannot be read holds none: it is about convenience. */
export function keptAnswers(path: string): KeptAnswers {
  const read = async (): Promise<Kept> => {
    try {
      return keptSchema.parse(JSON.parse(await readFile(path, "utf8")));
    } catch {
      return {};
    }
  };
  return {
    read,
    async write(answers) {
      const all = JSON.stringify({ ...(await read()), ...answers }, undefined, 2);
      makeStateFolder(dirname(path));
      await writeOwnFile(path, `${all}\n`);
    },
    forget: () => rm(path, { force: true }),
  };
}
