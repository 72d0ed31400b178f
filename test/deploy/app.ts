import { App } from "aws-cdk-lib";
import { CfnAlarm } from "aws-cdk-lib/aws-cloudwatch";
import { addStage } from "../../infra/deployment.ts";

/*
 * The CDK app without what the emulator cannot create: `cdk deploy --app "node test/deploy/app.ts"`.
 */
const app = new App();
const stack = addStage(app, (text) => console.error(`Notice: ${text}.`));
stack.node.findChild("Status").node.tryRemoveChild("Dashboard");
for (const each of stack.node.findAll())
  if (each instanceof CfnAlarm && each.metrics !== undefined && each.node.scope) {
    const { scope } = each.node;
    scope.node.scope?.node.tryRemoveChild(scope.node.id);
  }
app.synth();
