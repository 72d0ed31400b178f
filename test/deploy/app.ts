import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { App } from "aws-cdk-lib";
import { addStage } from "../../infra/deployment.ts";

/*
 * The CDK app as the emulator can create it: `cdk deploy --app "node test/deploy/app.ts"`. It is the real one with these changes
 * to the template, which is kept beside it as it was:
 * - no dashboard, which the emulator refuses;
 * - where the emulator asks for more than AWS does the functions are allowed that too: `ssm:GetParametersByPath` on `*` (AWS: on
 *   the path), the SQS actions on batches (AWS: authorised as the single ones), and queues without TLS, which it does not speak.
 *   Everything else is compared with the policies as they are.
 */
interface Resource {
  Type: string;
  Properties: { PolicyDocument: { Statement: unknown[] } };
}

const MORE = {
  Effect: "Allow",
  Action: ["ssm:GetParametersByPath", "sqs:SendMessageBatch", "sqs:ChangeMessageVisibilityBatch"],
  Resource: "*",
};

const app = new App();
const stack = addStage(app, (text) => console.error(`Notice: ${text}.`));
const { templateFullPath } = app.synth().getStackArtifact(stack.artifactId);
const text = readFileSync(templateFullPath, "utf8");
writeFileSync(join(dirname(templateFullPath), "unchanged.json"), text);
const template = JSON.parse(text) as { Resources: Record<string, Resource> };
for (const [id, { Type, Properties }] of Object.entries(template.Resources)) {
  if (Type === "AWS::CloudWatch::Dashboard" || Type === "AWS::SQS::QueuePolicy") delete template.Resources[id];
  if (Type === "AWS::IAM::Policy") Properties.PolicyDocument.Statement.push(MORE);
}
writeFileSync(templateFullPath, JSON.stringify(template));
