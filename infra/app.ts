import { App } from "aws-cdk-lib";
import { ConfigurationError } from "../functions/core/failure.ts";
import { addStage } from "./deployment.ts";

/** The CDK app that `cdk.json` names: `npx cdk deploy -c stage=NAME`. */
try {
  const app = new App();
  addStage(app, (text) => console.error(`Notice: ${text}.`));
  app.synth();
} catch (error) {
  if (!(error instanceof ConfigurationError)) throw error;
  console.error(`The stack cannot be made:\n${error.problems.map((problem) => `  ${problem}`).join("\n")}`);
  process.exitCode = 1;
}
