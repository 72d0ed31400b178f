import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FileSystem } from "aws-cdk-lib";
import { describe, expect, it } from "vitest";
import { type BundledFile, bundle, FUNCTIONS, type FunctionName, loadedAtOnce } from "../../infra/bundling.ts";
import { functionId, resources } from "./policies.ts";
import { synthesize } from "./synth.ts";

/** The most that a cold start of each function may load, in bytes. The SQS client alone, as it comes, is 338 kB. */
const BUDGETS: Record<FunctionName, number> = {
  receive: 530_000,
  provision: 930_000,
  reconcile: 980_000,
  replay: 500_000,
};

const { template, assembly } = synthesize({}, true);

function assetOf(name: FunctionName): string {
  const { S3Key } = resources(template)[functionId(template, name)]?.Properties.Code as { S3Key: string };
  return `asset.${S3Key.replace(/\.zip$/, "")}`;
}

function deployed(name: FunctionName): BundledFile[] {
  const folder = join(assembly, assetOf(name));
  return readdirSync(folder).map((file) => ({ name: file, contents: readFileSync(join(folder, file)) }));
}

describe("bundles", () => {
  it.each(FUNCTIONS)("%s stays within its budget", (name) => {
    const loaded = loadedAtOnce(deployed(name));
    expect(loaded.map((file) => file.name)).toContain("index.mjs");
    expect(loaded.reduce((sum, { contents }) => sum + contents.length, 0)).toBeLessThanOrEqual(BUDGETS[name]);
  });

  it("reconcile loads the client that invokes its runs only when it is used", () => {
    const files = deployed("reconcile").filter(({ name }) => name.endsWith(".mjs"));
    const withClient = ({ contents }: BundledFile) => Buffer.from(contents).includes("com.amazonaws.lambda");
    expect(files.filter(withClient)).toHaveLength(1);
    expect(loadedAtOnce(files).some(withClient)).toBe(false);
  });

  it.each(FUNCTIONS)("%s holds of undici only what it uses", (name) => {
    const { sources } = JSON.parse(readFileSync(join(assembly, assetOf(name), "index.mjs.map"), "utf8"));
    const parts = sources.filter((source: string) => source.includes("/node_modules/undici/"));
    const unused = /\/(?:mock|cache|websocket|eventsource|interceptor|milo)\/|fetch\/index/;
    expect(parts.filter((source: string) => unused.test(source))).toEqual([]);
  });

  it.each(FUNCTIONS)("%s is an ES module, minified, whose source map names files and holds no source", (name) => {
    const folder = join(assembly, assetOf(name));
    const files = readdirSync(folder);
    expect(files.filter((file) => !/\.mjs(?:\.map)?$/.test(file))).toEqual([]);
    for (const file of files.filter((each) => each.endsWith(".mjs"))) expect(files).toContain(`${file}.map`);
    const code = readFileSync(join(folder, "index.mjs"), "utf8");
    expect(code).toMatch(/export\{[\w$]+ as handler\};/);
    expect(code.length / code.split("\n").length).toBeGreaterThan(500);
    const map = JSON.parse(readFileSync(join(folder, "index.mjs.map"), "utf8"));
    expect(map.sources).toContain(`../../functions/${name}/handler.ts`);
    expect(map.sourcesContent).toBeUndefined();
  });

  it.each(FUNCTIONS)("%s is deployed as `npm run build` shows it", (name) => {
    const digests = (files: BundledFile[]) =>
      Object.fromEntries(files.map((file) => [file.name, createHash("sha256").update(file.contents).digest("hex")]));
    expect(digests(deployed(name))).toEqual(digests(bundle(name)));
  });

  it.each(FUNCTIONS)("%s is deployed anew when any code in its bundle changes, wherever that is", (name) => {
    const asset = assetOf(name);
    expect(`asset.${FileSystem.fingerprint(join(assembly, asset))}`).toBe(asset);
  });
});
