import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ListQueuesCommand, SetQueueAttributesCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { Emulator } from "./emulator.ts";

const EXTRA = {
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: ["ssm:GetParametersByPath", "sqs:SendMessageBatch"], Resource: "*" }],
};

/**
 * Where the emulator asks for more than AWS does, the deployed stage is allowed that too: `ssm:GetParametersByPath` on `*` (AWS:
 * on the path), `sqs:SendMessageBatch` (AWS: batches are authorised as `sqs:SendMessage`), and queues without TLS, which it does
 * not speak. Everything else is held against the policies as they were deployed.
 */
export async function allowWhatTheEmulatorAsksFor(bin: string, emulator: Emulator, sqs: SQSClient): Promise<void> {
  const { QueueUrls = [] } = await sqs.send(new ListQueuesCommand());
  for (const QueueUrl of QueueUrls)
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy: "" } }));
  const iam = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(join(bin, "aws"), ["iam", ...args], {
      encoding: "utf8",
      env: { ...emulator.environment, PATH: process.env.PATH },
    });
    if (status !== 0) throw new Error(`aws iam ${args.join(" ")}: ${stderr}`);
    return stdout.trim();
  };
  const roles = iam("list-roles", "--query", "Roles[].RoleName", "--output", "text").split(/\s+/);
  const policy = ["--policy-name", "emulator", "--policy-document", JSON.stringify(EXTRA)];
  for (const role of roles.filter((name) => name.startsWith("clavex-nextcloud-")))
    iam("put-role-policy", "--role-name", role, ...policy);
}
