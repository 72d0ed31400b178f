import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigurationError } from "../core/failure.ts";
import { type Organization, type OrganizationDocument, readOrganizations } from "../core/organization.ts";
import type { Found } from "../core/together.ts";
import { systemWords } from "../system-errors.ts";
import { parseEnvironmentFile } from "./environment.ts";
import {
  fixedOrganizations,
  noOrganizationFiles,
  type Organizations,
  organizationFiles,
  organizationsMissing,
  readDocument,
  refusals,
} from "./organizations.ts";
import { environmentSecrets, type Secrets, unreadableSecrets } from "./secrets.ts";

type Environment = Record<string, string | undefined>;

/** Where a machine's configuration is kept. */
export interface MachineFiles {
  /** The folder with one JSON file per organization. */
  folder: string;
  /** `.env`: the secrets, as far as they are not in the process's own environment. It may be missing. */
  environmentFile: string;
  /** The environment that the process was started with; its values win. */
  environment: Environment;
}

/** The organizations and secrets of one machine. The files may change at any time: what is read here follows `look`. */
export interface MachineConfiguration {
  organizations: Organizations;
  secrets: Secrets;
  /** What cannot be used in the files as they are now: one line each, with its place and what to do. */
  problems(): readonly string[];
  /**
   * Looks at the files. A change is adopted when two successive looks found it, so that a file that is just being written
   * is never half read; if it is broken, the last good version of that file stays in use.
   *
   * @returns whether a change was taken
   */
  look(): Promise<boolean>;
}

/** What the files say, broken or not. */
interface Texts {
  /** Every file of the folder, with its text if it can be read. */
  documents: { source: string; text: string | undefined }[];
  /** Undefined when `.env` cannot be read; empty when it does not exist. */
  environment: string | undefined;
  /** What cannot be read, and why: files, or the folder. */
  unread: { path: string; problem: string }[];
}

/** The newest version of each file with which everything worked. */
interface Good {
  documents: OrganizationDocument[];
  environment: string;
}

/** What is in use. */
interface Configuration {
  found: Found[];
  environment: Environment;
  good: Good;
  problems: string[];
}

const NOTHING: Good = { documents: [], environment: "" };
const STAYS = "; the last good version stays in use";

const problemOf = ({ problem }: Texts["unread"][number]): string => problem;

/**
 * Reads a machine's configuration.
 *
 * @throws {ConfigurationError} when nothing can work: the folder is missing or empty or cannot be read, or there is no
 * organization whose document is right and whose secrets are there
 */
export async function machineConfiguration(files: MachineFiles): Promise<MachineConfiguration> {
  let seen = await readTexts(files);
  let taken = JSON.stringify(seen);
  if (seen.documents.length === 0) {
    throw organizationsMissing(seen.unread.map(problemOf));
  }
  let current = await understand(seen, files, NOTHING);
  if (current.good.documents.length === 0) throw new ConfigurationError("organizations-invalid", current.problems);
  let organizations = organizationsOf(current.found);
  return {
    organizations: { get: (slug) => organizations.get(slug), slugs: () => organizations.slugs() },
    secrets: environmentSecrets(() => current.environment),
    problems: () => current.problems,
    async look() {
      const before = JSON.stringify(seen);
      seen = await readTexts(files);
      const now = JSON.stringify(seen);
      if (now !== before || now === taken) return false;
      taken = now;
      current = await understand(seen, files, current.good);
      organizations = organizationsOf(current.found);
      return true;
    },
  };
}

async function readTexts({ folder, environmentFile }: MachineFiles): Promise<Texts> {
  const unread: Texts["unread"] = [];
  const failed = (path: string) => (error: unknown) => {
    if (!(error instanceof ConfigurationError)) throw error;
    unread.push({ path, problem: error.message });
    return undefined;
  };
  const names = await organizationFiles(folder).catch(failed(folder));
  if (names?.length === 0) unread.push({ path: folder, problem: noOrganizationFiles(folder) });
  const documents = (names ?? []).map(async (name) => {
    const source = join(folder, name);
    return { source, text: (await readDocument(folder, name).catch(failed(source)))?.text };
  });
  const environment = await readFile(environmentFile, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    const problem = `${environmentFile}: cannot be read (${systemWords(error)})`;
    unread.push({ path: environmentFile, problem });
    return undefined;
  });
  return { documents: await Promise.all(documents), environment, unread };
}

/** Uses what works: where a file is broken, its last good version stays in use. */
async function understand(texts: Texts, files: MachineFiles, good: Good): Promise<Configuration> {
  const known = new Map(good.documents.map((document) => [document.source, document]));
  // An empty folder more likely means an unmounted disk than a decision.
  const sources = texts.documents.length === 0 ? good.documents : texts.documents;
  const documents = sources.flatMap(({ source, text }) =>
    text === undefined ? (known.get(source) ?? []) : { source, text },
  );
  const asWritten = readOrganizations(documents, "env");
  const environment = await chooseEnvironment(asWritten, texts.environment, good.environment, files);
  const secrets = environmentSecrets(environment.values);

  const broken = new Map<string, string[]>();
  for (const { source, organization, problems } of asWritten) {
    const lines = organization ? await missingSecrets(source, organization, secrets) : problems;
    if (lines.length > 0) broken.set(source, lines);
  }
  const inUse = documents.map((each) => (broken.has(each.source) && known.get(each.source)) || each);
  const stays = (path: string) =>
    known.has(path) || (good !== NOTHING && [files.folder, files.environmentFile].includes(path));
  const told = (path: string, problem: string) => `${problem}${stays(path) ? STAYS : ""}`;
  return {
    found: readOrganizations(inUse, "env"),
    environment: environment.values,
    good: {
      documents: inUse.filter(({ source }) => !broken.has(source) || known.has(source)),
      environment: environment.text,
    },
    problems: [
      ...texts.unread.map(({ path, problem }) => told(path, problem)),
      ...Array.from(broken).flatMap(([source, lines]) => lines.map((line) => told(source, line))),
      ...environment.problems.map((problem) => told(files.environmentFile, `${files.environmentFile}: ${problem}`)),
    ],
  };
}

/** The new `.env`, unless it takes away a secret that an organization needs and had. */
async function chooseEnvironment(
  found: readonly Found[],
  text: string | undefined,
  good: string,
  { environment }: MachineFiles,
): Promise<{ text: string; values: Environment; problems: string[] }> {
  const [before, after] = [good, text ?? good].map(
    (of): Environment => ({ ...parseEnvironmentFile(of), ...environment }),
  );
  const problems: string[] = [];
  for (const { organization } of found) {
    if (!organization) continue;
    const had = await unreadableSecrets(organization, environmentSecrets(before ?? {}));
    const has = await unreadableSecrets(organization, environmentSecrets(after ?? {}));
    problems.push(...Array.from(has).flatMap(([setting, failure]) => (had.has(setting) ? [] : [failure.message])));
  }
  if (problems.length > 0) return { text: good, values: before ?? {}, problems };
  return { text: text ?? good, values: after ?? {}, problems };
}

async function missingSecrets(source: string, organization: Organization, secrets: Secrets): Promise<string[]> {
  const failures = await unreadableSecrets(organization, secrets);
  return Array.from(failures, ([setting, { message, fix }]) => `${source}: ${setting}: ${message}. ${fix}`);
}

function organizationsOf(found: readonly Found[]): Organizations {
  const usable = found.flatMap(({ organization }) => organization ?? []);
  return fixedOrganizations(usable, refusals(found));
}
