import { statSync } from "node:fs";
import { type App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { ConfigurationError } from "../functions/core/failure.ts";
import { readOrganizations } from "./organizations.ts";
import { readSettings } from "./settings.ts";
import { ClavexNextcloudStack } from "./stack.ts";

/** What CloudFormation takes: 1 MB. */
const LARGEST_TEMPLATE = 1_000_000;

/**
 * Refuses a template that CloudFormation would refuse after the assets were uploaded.
 *
 * @param path of the template, as it will be uploaded
 * @throws {ConfigurationError} with its size and what to do
 */
export function requireSize(path: string): void {
  const { size } = statSync(path);
  if (size <= LARGEST_TEMPLATE) return;
  throw new ConfigurationError("template-too-large", [
    `the template has ${size} bytes, CloudFormation takes ${LARGEST_TEMPLATE}: the organization files of a stage are in it, move some of them to another stage`,
  ]);
}

/**
 * Adds the stage that the app's context describes, and the check that refuses it when it breaks a rule of AwsSolutions.
 *
 * @param notice receives what is not wrong but worth knowing
 * @throws {ConfigurationError} with every problem of the settings, or of the organizations
 */
export function addStage(app: App, notice: (text: string) => void): ClavexNextcloudStack {
  const settings = readSettings(app);
  const folder = settings.organizations ?? `organizations/${settings.stage}`;
  const organizations = readOrganizations(folder);
  if (organizations.length === 0)
    notice(`no organization files in ${folder}: until there are some, the stage refuses every delivery`);
  const stack = new ClavexNextcloudStack(app, "ClavexNextcloud", { settings, organizations });
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  return stack;
}
