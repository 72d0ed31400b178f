import { App } from "aws-cdk-lib";
import { addStage } from "../../infra/deployment.ts";

/*
 * The CDK app without the dashboard, which the emulator refuses: `cdk deploy --app "node test/deploy/app.ts"`.
 */
const app = new App();
const stack = addStage(app, (text) => console.error(`Notice: ${text}.`));
stack.node.findChild("Status").node.tryRemoveChild("Dashboard");
app.synth();
