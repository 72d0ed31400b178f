import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { document, folderWith, synthesize, temporaryFolder } from "./synth.ts";

/** Runs the installed CDK CLI as `npx cdk synth` does: with the repository's programs first in PATH, and no credentials. */
function cdkSynth(context: string[], environment: Record<string, string> = {}) {
  const output = temporaryFolder();
  const flags = context.flatMap((each) => ["-c", each]);
  const { status, stderr } = spawnSync("node_modules/.bin/cdk", ["synth", "--quiet", "--output", output, ...flags], {
    encoding: "utf8",
    env: {
      PATH: `${join(process.cwd(), "node_modules/.bin")}:${process.env.PATH}`,
      HOME: output,
      // Nothing may be asked of the network: a clean machine without credentials is enough.
      HTTPS_PROXY: "http://127.0.0.1:9",
      HTTP_PROXY: "http://127.0.0.1:9",
      AWS_EC2_METADATA_DISABLED: "true",
      ...environment,
    },
  });
  return { status, stderr, output };
}

describe("npx cdk synth", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it("works on a clean machine without organization files", () => {
    const { status, stderr, output } = cdkSynth(["stage=dev", "organizations=organizations/no-such-folder"]);
    expect(stderr).toContain("Notice: no organization files in organizations/no-such-folder");
    expect(status).toBe(0);
    const template = JSON.parse(readFileSync(join(output, "ClavexNextcloud.template.json"), "utf8"));
    expect(template.Description).toContain("stage dev");
  });

  it("makes a stage with two organizations", () => {
    const organizations = folderWith({ "acme.json": document("acme"), "north.json": document("north-wind") });
    const { status, output } = cdkSynth(["stage=prod", `organizations=${organizations}`]);
    expect(status).toBe(0);
    const template = JSON.parse(readFileSync(join(output, "ClavexNextcloud.template.json"), "utf8"));
    expect(Object.keys(template.Outputs)).toEqual(
      expect.arrayContaining(["WebhookUrlacme", "WebhookUrlnorthDashwind"]),
    );
  });

  it("stops with every problem of wrong files, and without a stack trace", () => {
    const organizations = folderWith({ "a.json": "{", "b.json": document("b", { slug: "Not A Slug" }) });
    const { status, stderr } = cdkSynth(["stage=dev", `organizations=${organizations}`]);
    expect(status).toBe(1);
    expect(stderr).toContain(`${join(organizations, "a.json")}: is not JSON`);
    expect(stderr).toContain(`${join(organizations, "b.json")}: slug: may hold a-z`);
    expect(stderr).not.toMatch(/^ +at /m);
  });

  it("refuses a stage whose template CloudFormation would refuse, and takes 150 organizations of 4 KB", () => {
    const sized = (index: number, size: number) => {
      const slug = `org-${index}`;
      const organizationId = `0b9d7d4e-8f5b-4f0e-9a44-${String(index).padStart(12, "0")}`;
      const of = (groups: number) => {
        const never = Array.from({ length: groups }, (_, group) => `team ${String(group).padStart(4, "0")}`);
        return document(slug, { organizationId, groups: { never } });
      };
      // Each group takes twelve bytes.
      return of(Math.floor((size - JSON.stringify(of(0)).length) / 12));
    };
    const folder = (number: number, size: number) =>
      folderWith(
        Object.fromEntries(Array.from({ length: number }, (_, index) => [`org-${index}.json`, sized(index, size)])),
      );
    // CDK's validation of that many parameters takes most of a minute.
    const withoutValidation = { CDK_VALIDATION: "false" };
    vi.stubEnv("CDK_VALIDATION", "false");
    const { status, stderr } = cdkSynth(["stage=dev", `organizations=${folder(150, 8_000)}`], withoutValidation);
    expect(status).toBe(1);
    expect(stderr).toMatch(/the template has \d+ bytes, CloudFormation takes 1000000.*another stage/);
    const { template } = synthesize({ organizations: folder(150, 4_000) });
    // As CDK writes it.
    expect(JSON.stringify(template.toJSON(), undefined, 1).length).toBeLessThan(1_000_000);
  });

  it("says which stage it wants when none is named", () => {
    const { status, stderr } = cdkSynth([]);
    expect(status).toBe(1);
    expect(stderr).toContain("name the stage with -c stage=dev");
  });
});
