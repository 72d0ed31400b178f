import { App } from "aws-cdk-lib";
import { ConfigurationError } from "../functions/core/failure.ts";
import { addStage, requireSize } from "./deployment.ts";

/** The CDK app that `cdk.json` names: `npx cdk deploy -c stage=NAME`. */
try {
  const app = new App();
  const stack = addStage(app, (text) => console.error(`Notice: ${text}.`));
  requireSize(app.synth().getStackArtifact(stack.artifactId).templateFullPath);
} catch (error) {
  if (!(error instanceof ConfigurationError)) throw error;
  console.error(`The stack cannot be made:\n${error.problems.map((problem) => `  ${problem}`).join("\n")}`);
  process.exitCode = 1;
}
