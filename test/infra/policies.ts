import type { Template } from "aws-cdk-lib/assertions";
import type { FunctionName } from "../../infra/bundling.ts";

/** A statement of a function's role, its resources as readable ARNs. */
export interface Statement {
  effect: string;
  actions: string[];
  resources: string[];
}

interface RawStatement {
  Effect: string;
  Action: string | string[];
  Resource: unknown;
}

/** A resource of a template, as far as these tests look into it. */
export interface Resource {
  Type: string;
  Properties: Record<string, unknown>;
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
}

export function resources(template: Template): Record<string, Resource> {
  return template.toJSON().Resources;
}

/** The logical id of the one function of this name. */
export function functionId(template: Template, name: FunctionName): string {
  const [id] =
    Object.entries(resources(template)).find(
      ([, { Type, Properties }]) =>
        Type === "AWS::Lambda::Function" && String(Properties.FunctionName).endsWith(`-${name}`),
    ) ?? [];
  if (id === undefined) throw new Error(`the template has no function ${name}`);
  return id;
}

/** All that a function's role allows. */
export function statementsOf(template: Template, name: FunctionName): Statement[] {
  const all = resources(template);
  const role = all[functionId(template, name)]?.Properties.Role as { "Fn::GetAtt": [string, string] };
  const [roleId] = role["Fn::GetAtt"];
  const policies = Object.values(all).filter(
    ({ Type, Properties }) =>
      Type === "AWS::IAM::Policy" && (Properties.Roles as { Ref: string }[]).some(({ Ref }) => Ref === roleId),
  );
  return policies.flatMap(({ Properties }) =>
    (Properties.PolicyDocument as { Statement: RawStatement[] }).Statement.map((statement) => ({
      effect: statement.Effect,
      actions: [statement.Action].flat().sort(),
      resources: [statement.Resource].flat().map(readable),
    })),
  );
}

/** A value of a template as one text: `Fn::Join` joined, references as `<Name>`, attributes as `<Name.Attribute>`. */
export function readable(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return String(value);
  if ("Ref" in value) return `<${value.Ref}>`;
  if ("Fn::GetAtt" in value) return `<${(value["Fn::GetAtt"] as string[]).join(".")}>`;
  if ("Fn::Join" in value) {
    const [separator, parts] = value["Fn::Join"] as [string, unknown[]];
    return parts.map(readable).join(separator);
  }
  throw new Error(`cannot read ${JSON.stringify(value)}`);
}

/** Whether the statements allow an action on a resource, as IAM would see it. */
export function allows(statements: Statement[], action: string, resource: string): boolean {
  return statements.some(
    (statement) =>
      statement.effect === "Allow" &&
      statement.actions.includes(action) &&
      statement.resources.some((pattern) => matches(pattern, resource)),
  );
}

/** IAM's `*` also crosses slashes. */
function matches(pattern: string, text: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(text);
}
