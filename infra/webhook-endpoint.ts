import { RemovalPolicy, Validations } from "aws-cdk-lib";
import { AccessLogFormat } from "aws-cdk-lib/aws-apigateway";
import {
  DomainName,
  HttpApi,
  HttpMethod,
  HttpStage,
  LogGroupLogDestination,
  PayloadFormatVersion,
} from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Certificate } from "aws-cdk-lib/aws-certificatemanager";
import { type IMetric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import type { IFunction } from "aws-cdk-lib/aws-lambda";
import { FilterPattern, LogGroup, MetricFilter } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { METRIC_NAMESPACE, stackName } from "../functions/config/deployment.ts";
import { PERIOD } from "./metrics.ts";
import type { DeploymentSettings } from "./settings.ts";

export interface WebhookEndpointProps {
  settings: DeploymentSettings;
  receiver: IFunction;
}

/** Far above what Clavex sends, and a limit to what a flood can cost. */
const THROTTLE = { rateLimit: 50, burstLimit: 100 };

/** What is written of each request: no headers, no query and no body, so neither signatures nor people. */
const ACCESS_LOG = {
  time: "$context.requestTime",
  requestId: "$context.requestId",
  sourceIp: "$context.identity.sourceIp",
  method: "$context.httpMethod",
  path: "$context.path",
  status: "$context.status",
  milliseconds: "$context.responseLatency",
  problem: "$context.integrationErrorMessage",
};

/** The HTTP API that Clavex calls. Unknown paths are answered by it, without a function being run. */
export class WebhookEndpoint extends Construct {
  readonly api: HttpApi;
  /** `https://NAME`, without a slash at the end. */
  readonly url: string;
  /** How many requests were answered 429, because there were too many at once. */
  readonly throttled: IMetric;
  /** Where the DNS record of an own domain name has to point. */
  readonly domainTarget: string | undefined;

  constructor(scope: Construct, id: string, { settings, receiver }: WebhookEndpointProps) {
    super(scope, id);
    const { stage, domainName, certificateArn } = settings;
    const domain =
      domainName === undefined || certificateArn === undefined
        ? undefined
        : new DomainName(this, "Domain", {
            domainName,
            certificate: Certificate.fromCertificateArn(this, "Certificate", certificateArn),
          });
    this.api = new HttpApi(this, "Api", {
      apiName: stackName(stage),
      description: `clavex-nextcloud, stage ${stage}: webhooks of Clavex`,
      createDefaultStage: false,
      disableExecuteApiEndpoint: domain !== undefined,
    });
    Validations.of(this.api).acknowledge({
      id: "AwsSolutions::AwsSolutions-APIG4",
      reason:
        "Clavex signs its deliveries (HMAC-SHA256 over the body) and cannot do more. An authorizer does not get the body, so the receiver verifies the signature; /healthz tells nothing.",
    });
    const integration = new HttpLambdaIntegration("Receiver", receiver, {
      payloadFormatVersion: PayloadFormatVersion.VERSION_2_0,
    });
    // All methods, because the receiver is the one who says 405.
    for (const path of ["/webhooks/clavex/{organization}", "/healthz"])
      this.api.addRoutes({ path, methods: [HttpMethod.ANY], integration });

    // Below /aws/vendedlogs/ the account's few log resource policies are not used up by one entry per API.
    const accessLog = new LogGroup(this, "AccessLog", {
      logGroupName: `/aws/vendedlogs/clavex-nextcloud/${stage}/access`,
      retention: settings.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // API Gateway counts what it throttles among all 4xx, the 401 of strangers included.
    this.throttled = new MetricFilter(this, "Throttled", {
      logGroup: accessLog,
      filterPattern: FilterPattern.stringValue("$.status", "=", "429"),
      metricNamespace: METRIC_NAMESPACE,
      metricName: `DeliveriesThrottled-${stage}`,
      metricValue: "1",
    }).metric({ statistic: Stats.SUM, period: PERIOD });
    new HttpStage(this, "Stage", {
      httpApi: this.api,
      autoDeploy: true,
      throttle: THROTTLE,
      accessLogSettings: {
        destination: new LogGroupLogDestination(accessLog),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
      ...(domain === undefined ? {} : { domainMapping: { domainName: domain } }),
    });
    this.url = domainName === undefined ? this.api.apiEndpoint : `https://${domainName}`;
    this.domainTarget = domain?.regionalDomainName;
  }
}
