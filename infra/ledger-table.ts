import { RemovalPolicy } from "aws-cdk-lib";
import { AttributeType, BillingMode, Table, TableEncryption } from "aws-cdk-lib/aws-dynamodb";
import { Construct } from "constructs";
import { stackName } from "../functions/config/deployment.ts";
import { TABLE_KEYS } from "../functions/ledger/table.ts";

export interface LedgerTableProps {
  stage: string;
  /** Whether the ledger outlives the stack. */
  retain: boolean;
}

/**
 * The ledger. Its name is fixed: a change of the stack can never put an empty table in its place unnoticed, and a stack
 * that is made again after `cdk destroy` takes the old one up with `cdk deploy --import-existing-resources`.
 */
export class LedgerTable extends Construct {
  readonly table: Table;

  constructor(scope: Construct, id: string, { stage, retain }: LedgerTableProps) {
    super(scope, id);
    this.table = new Table(this, "Table", {
      tableName: `${stackName(stage)}-ledger`,
      partitionKey: { name: TABLE_KEYS.partition, type: AttributeType.STRING },
      sortKey: { name: TABLE_KEYS.sort, type: AttributeType.STRING },
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.AWS_MANAGED,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      // Not even by hand, until `retain=false` was deployed.
      deletionProtection: retain,
      // Kept at `destroy`, and because of the protection also when the very first deployment is rolled back (docs/deploy.md).
      removalPolicy: retain ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY,
    });
  }
}
