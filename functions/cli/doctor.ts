import { Command } from "commander";
import { counted, printable } from "../core/text.ts";
import { complains, hasFailures, type Result } from "../doctor/check.ts";
import { examine } from "../doctor/doctor.ts";
import { ADMIN_EMAIL, ADMIN_PASSWORD, ADMIN_TOKEN, doctorOptions, usableOrganizations } from "./doctor-options.ts";
import { EXIT } from "./exit-codes.ts";
import { type ConnectOptions, withConnection } from "./options.ts";
import { chosenSlugs, eachOrganization, type OrganizationFailure } from "./organizations.ts";
import { type OpenPipeline, openPipeline } from "./pipeline.ts";
import { openSources, type Sources } from "./sources.ts";
import { paint, print, printJson, type Style } from "./terminal.ts";

interface Options extends ConnectOptions {
  organization?: string;
  webhookUrl?: string;
  writeChecks?: boolean;
  all?: boolean;
  json?: boolean;
}

/** `doctor`: everything that can be wrong between Clavex, the pipeline and Nextcloud. Only reads. */
export function doctorCommand(): Command {
  return withConnection(new Command("doctor"))
    .description("Checks Clavex, Nextcloud and the pipeline between them. Only reads. Exit code 1 when a check fails.")
    .option("--organization <slug>", "only this organization")
    .option("--webhook-url <url>", "where Clavex posts to, when this cannot know it")
    .option(
      "--write-checks",
      "also create a throwaway account in Nextcloud, look what is copied into it, and delete it",
    )
    .option("--all", "also show the checks that passed, and those that were left out")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `\nWith an administrator's token in the environment variable ${ADMIN_TOKEN}, or what one logs in with in ${ADMIN_EMAIL} and ${ADMIN_PASSWORD}, it also reads the webhook subscription, the OIDC client and its mappers.`,
    )
    .action(doctor);
}

/** What was found for one organization. */
interface Examined {
  organization: string;
  results: Result[];
}

async function doctor(options: Options): Promise<void> {
  const sources = await openSources(options);
  const pipeline = await openPipeline(options);
  try {
    const { examined, failures } = await examineOrganizations(options, sources, pipeline);
    if (options.json) printJson([...examined, ...failures]);
    else for (const { organization, results } of examined) showResults(organization, results, options.all ?? false);
    if (examined.some(({ results }) => hasFailures(results))) process.exitCode = EXIT.failed;
  } finally {
    await pipeline.close();
    await sources.close();
  }
}

async function examineOrganizations(
  options: Options,
  { organizations, secrets }: Sources,
  pipeline: OpenPipeline,
): Promise<{ examined: Examined[]; failures: OrganizationFailure[] }> {
  const examined: Examined[] = [];
  const chosen = await chosenSlugs(organizations, options.organization);
  const failures = await eachOrganization(chosen, organizations, async (organization) => {
    const others = await usableOrganizations(organizations, organization.slug);
    const given = await doctorOptions(organization, others, secrets, pipeline, options.webhookUrl);
    examined.push({
      organization: organization.slug,
      results: await examine({ ...given, writeChecks: options.writeChecks ?? false }),
    });
  });
  return { examined, failures };
}

const LABELS: Record<Result["status"], string> = { ok: "ok", warn: "WARN", fail: "FAIL", skipped: "-" };
const STYLES: Record<Result["status"], Style> = { ok: "good", warn: "warning", fail: "bad", skipped: "quiet" };
/** The most important findings come first. */
const ORDER: Result["status"][] = ["fail", "warn", "skipped", "ok"];

/** Failures and warnings, with what to do and where to read on; the rest is only counted, unless all are asked for. */
function showResults(organization: string, results: Result[], all: boolean): void {
  const of = (status: Result["status"]) => results.filter((each) => each.status === status);
  const shown = ORDER.flatMap(of).filter((each) => all || complains(each));
  print(`${organization}:`);
  for (const { status, title, cause, fix, docs } of shown) {
    const label = paint(STYLES[status], LABELS[status].padEnd(5));
    print(`  ${label} ${printable(`${title}${cause === undefined ? "" : `: ${cause}`}`)}`);
    if (fix !== undefined) print(printable(`          ${fix}${status === "skipped" ? "" : ` (${docs})`}`));
  }
  const count = (status: Result["status"]) => of(status).length;
  const quiet = `${count("ok")} ok, ${count("skipped")} left out`;
  print(
    `${shown.length > 0 ? "\n" : ""}${counted(results.length, "check")}: ${count("fail")} failed, ${counted(count("warn"), "warning")}; ${quiet}${all ? "" : " (shown with --all)"}\n`,
  );
}
