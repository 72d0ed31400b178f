import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigurationError } from "../functions/core/failure.ts";
import { type Organization, parseOrganizations } from "../functions/core/organization.ts";

/** An organization's document as it is deployed: validated, its JSON without white space. */
export interface DeployedOrganization {
  slug: string;
  json: string;
}

/** What an SSM parameter of the advanced tier can hold. */
const LARGEST_DOCUMENT = 8 * 1024;
/** One webhook URL per organization is an output, and CloudFormation has at most 200 of them. */
const MOST_ORGANIZATIONS = 150;

/**
 * Reads and validates every `*.json` of a stage's folder, as the functions will. A missing or empty folder gives none.
 *
 * @throws {ConfigurationError} with all problems of all files
 */
export function readOrganizations(folder: string): DeployedOrganization[] {
  const documents = filesOf(folder).map((name) => {
    const source = join(folder, name);
    return { source, text: readFileSync(source, "utf8") };
  });
  const problems: string[] = [];
  if (documents.length > MOST_ORGANIZATIONS)
    problems.push(`${folder}: holds ${documents.length} organizations; a stage takes ${MOST_ORGANIZATIONS} at most`);
  for (const { source, text } of documents) {
    const size = Buffer.byteLength(compact(text));
    if (size > LARGEST_DOCUMENT)
      problems.push(`${source}: is ${size} bytes without white space; an SSM parameter holds ${LARGEST_DOCUMENT}`);
  }
  let organizations: Organization[] = [];
  try {
    organizations = parseOrganizations(documents, "ssm");
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems.push(...error.problems);
  }
  if (problems.length > 0) throw new ConfigurationError("organizations-invalid", problems);
  return organizations.map(({ slug }, index) => ({ slug, json: compact(documents[index]?.text ?? "") }));
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    throw new ConfigurationError("organizations-unreadable", [`${folder}: cannot be read (${code})`], { cause: error });
  }
}

/**
 * The document without white space; text that is not JSON is left as it is, because validation has reported it. Two braces, as in
 * a group's name, are written in another way: SSM refuses them, and CloudFormation would look up what stands behind them.
 */
function compact(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text)).replaceAll("{{", "{\\u007b");
  } catch {
    return text;
  }
}
