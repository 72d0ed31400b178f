import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, type Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { afterAll } from "vitest";
import { addStage } from "../../infra/deployment.ts";

const { context: featureFlags } = JSON.parse(readFileSync("cdk.json", "utf8")) as { context: Record<string, unknown> };

/** A valid document for AWS, with changes. */
export function document(slug: string, changes: Record<string, unknown> = {}): Record<string, unknown> {
  const id = Buffer.from(slug).toString("hex").padEnd(12, "0").slice(0, 12);
  return {
    slug,
    organizationId: `0b9d7d4e-8f5b-4f0e-9a44-${id}`,
    clavex: { baseUrl: "https://id.example.org", webhookSecrets: ["ssm:primary"], apiKey: "ssm:clavex-api-key" },
    nextcloud: { baseUrl: "https://cloud.example.org", username: "provisioner", password: "ssm:app-password" },
    identity: { scheme: "user_oidc", providerId: 1 },
    ...changes,
  };
}

const temporary: string[] = [];
afterAll(() => {
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true });
});

/** A new folder that is gone when the tests of the file have ended. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "clavex-nextcloud-"));
  temporary.push(folder);
  return folder;
}

/** A temporary folder with these files; what is no text becomes JSON. */
export function folderWith(files: Record<string, unknown>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content, null, 2));
  return folder;
}

export interface Synthesized {
  stack: Stack;
  template: Template;
  /** The folder with all that `cdk synth` makes. */
  assembly: string;
  notices: string[];
}

/**
 * Makes the stack of a stage in this process, as `cdk synth` does.
 *
 * @param context what `-c` would set; by default stage `test` without organizations
 * @param bundle whether the functions are bundled; it takes a while, and only those who look at the bundles need it
 * @throws {ConfigurationError}, and when cdk-nag finds something
 */
export function synthesize(context: Record<string, unknown> = {}, bundle = false): Synthesized {
  const assembly = temporaryFolder();
  const app = new App({
    outdir: assembly,
    context: {
      ...featureFlags,
      ...(bundle ? {} : { "aws:cdk:bundling-stacks": [] }),
      stage: "test",
      organizations: folderWith({}),
      ...context,
    },
  });
  const notices: string[] = [];
  const stack = addStage(app, (text) => notices.push(text));
  return { stack, template: Template.fromStack(stack), assembly, notices };
}
