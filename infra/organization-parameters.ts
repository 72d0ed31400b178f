import { ParameterTier, StringParameter } from "aws-cdk-lib/aws-ssm";
import { Construct } from "constructs";
import { organizationsPath } from "../functions/config/organization-parameters.ts";
import type { DeployedOrganization } from "./organizations.ts";

export interface OrganizationParametersProps {
  stage: string;
  organizations: DeployedOrganization[];
}

/** Each organization's document as an SSM parameter, where the functions look for it. */
export class OrganizationParameters extends Construct {
  constructor(scope: Construct, id: string, { stage, organizations }: OrganizationParametersProps) {
    super(scope, id);
    for (const { slug, json } of organizations) {
      new StringParameter(this, slug, {
        parameterName: `${organizationsPath(stage)}${slug}`,
        description: `clavex-nextcloud: organization ${slug}`,
        stringValue: json,
        // Free up to 4 KB; only a larger document pays for the advanced tier.
        tier: ParameterTier.INTELLIGENT_TIERING,
      });
    }
  }
}
