import { fileURLToPath } from "node:url";
import { AssetHashType, DockerImage, type Duration, RemovalPolicy } from "aws-cdk-lib";
import { Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Architecture, Code, Function as LambdaFunction, Runtime, Tracing } from "aws-cdk-lib/aws-lambda";
import { LogGroup, type RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { environmentOf, type Settings, stackName } from "../functions/config/deployment.ts";
import type { LogLevel } from "../functions/config/log-level.ts";
import { bundle, type FunctionName, writeBundle } from "./bundling.ts";
import { grant, type Permission } from "./permissions.ts";

export interface PipelineFunctionProps {
  name: FunctionName;
  stage: string;
  description: string;
  timeout: Duration;
  memorySize: number;
  /** The resources that its environment names. */
  resources: Omit<Partial<Settings>, "stage" | "logLevel">;
  /** All that the function may do, but for writing its log and its traces. */
  permissions: Permission[];
  logDays: RetentionDays;
  logLevel: LogLevel;
}

/** One of the pipeline's Lambda functions, with a role of its own that can do what is listed and nothing else. */
export class PipelineFunction extends Construct {
  readonly name: FunctionName;
  readonly handler: LambdaFunction;
  readonly logGroup: LogGroup;

  constructor(scope: Construct, id: string, props: PipelineFunctionProps) {
    super(scope, id);
    const { name, stage, logLevel } = props;
    this.name = name;
    this.logGroup = new LogGroup(this, "Log", {
      logGroupName: `/clavex-nextcloud/${stage}/${name}`,
      retention: props.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, "Role", { assumedBy: new ServicePrincipal("lambda.amazonaws.com") });
    this.logGroup.grantWrite(role);
    grant(role, props.permissions);

    this.handler = new LambdaFunction(this, "Function", {
      functionName: functionName(stage, name),
      description: props.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      code: bundledCode(name),
      handler: "index.handler",
      timeout: props.timeout,
      memorySize: props.memorySize,
      environment: environmentOf({ stage, logLevel, ...props.resources }),
      role,
      logGroup: this.logGroup,
      tracing: Tracing.ACTIVE,
    });
  }
}

/** The function's name, known before it is made, so that a policy can name it. */
export function functionName(stage: string, name: FunctionName): string {
  return `${stackName(stage)}-${name}`;
}

function bundledCode(name: FunctionName): Code {
  return Code.fromAsset(fileURLToPath(new URL(`../functions/${name}`, import.meta.url)), {
    // The bundle's bytes decide whether the function is redeployed, not this folder: most of the code is outside it.
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      // Never used: the bundle is always made by esbuild on this machine.
      image: DockerImage.fromRegistry("unused"),
      local: {
        tryBundle(folder) {
          writeBundle(bundle(name), folder);
          return true;
        },
      },
    },
  });
}
