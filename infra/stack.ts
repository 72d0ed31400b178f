import { CfnMapping, CfnOutput, Stack, Tags } from "aws-cdk-lib";
import type { Construct } from "constructs";
import { OUTPUTS, stackName } from "../functions/config/deployment.ts";
import { Functions, WORKER_TIMEOUT } from "./functions.ts";
import { JobQueue } from "./job-queue.ts";
import { LedgerTable } from "./ledger-table.ts";
import { Monitoring } from "./monitoring.ts";
import { OrganizationParameters } from "./organization-parameters.ts";
import type { DeployedOrganization } from "./organizations.ts";
import { Schedules } from "./schedules.ts";
import type { DeploymentSettings } from "./settings.ts";
import { dashboardName, StatusDashboard } from "./status-dashboard.ts";
import { WebhookEndpoint } from "./webhook-endpoint.ts";

export interface ClavexNextcloudStackProps {
  settings: DeploymentSettings;
  organizations: DeployedOrganization[];
}

/** Where the web console of each of AWS's partitions is. */
const CONSOLE_DOMAINS = {
  aws: "console.aws.amazon.com",
  "aws-cn": "console.amazonaws.cn",
  "aws-us-gov": "console.amazonaws-us-gov.com",
  "aws-eusc": "console.amazonaws-eusc.eu",
};

/** The console of the partition that the stack is deployed to, which is known only there. */
function consoleDomain(stack: Stack): string {
  const mapping = Object.entries(CONSOLE_DOMAINS).map(([partition, domain]) => [partition, { domain }]);
  return new CfnMapping(stack, "Console", { mapping: Object.fromEntries(mapping) }).findInMap(
    stack.partition,
    "domain",
  );
}

/** The pipeline of one stage, in one account and region. */
export class ClavexNextcloudStack extends Stack {
  constructor(scope: Construct, id: string, { settings, organizations }: ClavexNextcloudStackProps) {
    super(scope, id, {
      stackName: stackName(settings.stage),
      description: `clavex-nextcloud, stage ${settings.stage}: provisions Nextcloud accounts from Clavex`,
      // The queue is deleted with the stack, and with it the jobs.
      terminationProtection: settings.retain,
    });
    const { stage, retain } = settings;
    Tags.of(this).add("application", "clavex-nextcloud");
    Tags.of(this).add("stage", stage);
    // CloudFormation takes a new deletion policy over only together with another change of the resource: this is one.
    Tags.of(this).add("kept-after-destroy", String(retain), {
      includeResourceTypes: ["AWS::DynamoDB::Table", "AWS::SQS::Queue"],
    });

    const jobs = new JobQueue(this, "Jobs", { workerTimeout: WORKER_TIMEOUT, retain });
    const ledger = new LedgerTable(this, "Ledger", { stage, retain });
    new OrganizationParameters(this, "Organizations", { stage, organizations });
    const functions = new Functions(this, "Functions", { settings, jobs, ledger });
    const endpoint = new WebhookEndpoint(this, "Endpoint", { settings, receiver: functions.receive.handler });
    new Schedules(this, "Schedules", { settings, reconcile: functions.reconcile.handler });
    const { topic, alarms } = new Monitoring(this, "Monitoring", {
      settings,
      api: endpoint.api,
      throttled: endpoint.throttled,
      jobs,
      functions,
    });
    new StatusDashboard(this, "Status", { stage, api: endpoint.api, jobs, functions, alarms });

    this.#output(OUTPUTS.queueUrl, jobs.queue.queueUrl, "The job queue");
    this.#output(OUTPUTS.deadLetterQueueUrl, jobs.deadLetterQueue.queueUrl, "Messages that no worker could read");
    this.#output(OUTPUTS.tableName, ledger.table.tableName, "The ledger");
    this.#output(OUTPUTS.startsPaused, String(!settings.autostart), "Whether new organizations wait for resume");
    const logGroups = functions.all.map(({ logGroup }) => logGroup.logGroupName);
    this.#output(OUTPUTS.logGroups, logGroups.join(","), "Where the functions log; what the command activity reads");
    this.#output("ReceiveFunction", functions.receive.handler.functionName, "The webhook endpoint's function");
    this.#output("ProvisionFunction", functions.provision.handler.functionName, "The queue consumer");
    this.#output("ReconcileFunction", functions.reconcile.handler.functionName, "The reconciliation");
    this.#output("ReplayFunction", functions.replay.handler.functionName, "The replay of dead letters");
    this.#output("AlarmTopic", topic.topicArn, "The SNS topic of the alarms");
    this.#output(
      "DashboardUrl",
      `https://${this.region}.${consoleDomain(this)}/cloudwatch/home?region=${this.region}#dashboards/dashboard/${dashboardName(this, stage)}`,
      "Is it working, what is late, what is refused",
    );
    if (endpoint.domainTarget !== undefined)
      this.#output("DomainTarget", endpoint.domainTarget, `Point ${settings.domainName} here (CNAME)`);
    this.#output(
      OUTPUTS.webhookBaseUrl,
      `${endpoint.url}/webhooks/clavex`,
      "An organization's webhook URL is below it",
    );
    for (const { slug } of organizations) {
      // Logical ids hold no hyphen, and a capital letter cannot come from a slug: no two of them get the same id.
      const id = `WebhookUrl${slug.replaceAll("-", "Dash")}`;
      this.#output(id, `${endpoint.url}/webhooks/clavex/${slug}`, `Subscribe this in ${slug}'s Clavex`);
    }
  }

  #output(id: string, value: string, description: string): void {
    new CfnOutput(this, id, { value, description });
  }
}
