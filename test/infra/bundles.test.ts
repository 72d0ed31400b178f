import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FileSystem } from "aws-cdk-lib";
import { describe, expect, it } from "vitest";
import { bundle, FUNCTIONS, type FunctionName } from "../../infra/bundling.ts";
import { functionId, resources } from "./policies.ts";
import { synthesize } from "./synth.ts";

/** The most that each function's code may be, in bytes. The SQS client alone is 446 kB. */
const BUDGETS: Record<FunctionName, number> = {
  receive: 800_000,
  provision: 1_500_000,
  reconcile: 1_600_000,
  replay: 600_000,
};

const { template, assembly } = synthesize({}, true);

function assetOf(name: FunctionName): string {
  const { S3Key } = resources(template)[functionId(template, name)]?.Properties.Code as { S3Key: string };
  return `asset.${S3Key.replace(/\.zip$/, "")}`;
}

describe("bundles", () => {
  it.each(FUNCTIONS)("%s stays within its budget", (name) => {
    expect(readFileSync(join(assembly, assetOf(name), "index.mjs")).length).toBeLessThanOrEqual(BUDGETS[name]);
  });

  it.each(FUNCTIONS)("%s is an ES module, minified, whose source map names files and holds no source", (name) => {
    const folder = join(assembly, assetOf(name));
    expect(readdirSync(folder).sort()).toEqual(["index.mjs", "index.mjs.map"]);
    const code = readFileSync(join(folder, "index.mjs"), "utf8");
    expect(code).toMatch(/export\{[\w$]+ as handler\};/);
    expect(code.length / code.split("\n").length).toBeGreaterThan(500);
    const map = JSON.parse(readFileSync(join(folder, "index.mjs.map"), "utf8"));
    expect(map.sources).toContain(`../../functions/${name}/handler.ts`);
    expect(map.sourcesContent).toBeUndefined();
  });

  it.each(FUNCTIONS)("%s is deployed as `npm run build` shows it", (name) => {
    for (const { name: file, contents } of bundle(name)) {
      const deployed = readFileSync(join(assembly, assetOf(name), file));
      expect(createHash("sha256").update(deployed).digest("hex")).toBe(
        createHash("sha256").update(contents).digest("hex"),
      );
    }
  });

  it.each(FUNCTIONS)("%s is deployed anew when any code in its bundle changes, wherever that is", (name) => {
    const asset = assetOf(name);
    expect(`asset.${FileSystem.fingerprint(join(assembly, asset))}`).toBe(asset);
  });
});
