import { type App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { readOrganizations } from "./organizations.ts";
import { readSettings } from "./settings.ts";
import { ClavexNextcloudStack } from "./stack.ts";

/**
 * Adds the stage that the app's context describes, and the check that refuses it when it breaks a rule of AwsSolutions.
 *
 * @param notice told what is not wrong but should be known
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
