import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, buildSync } from "esbuild";

/** The Lambda functions; each has its handler in `functions/NAME/handler.ts`. */
export const FUNCTIONS = ["receive", "provision", "reconcile", "replay"] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Some dependencies are CommonJS and ask for Node's own modules with `require`, which an ES module does not have. */
const REQUIRE_BANNER = 'import{createRequire as __r}from"node:module";const require=__r(import.meta.url);';

/** How everything is bundled: one minified ES module for Node 24, dependencies and SDK clients included. */
export const BUNDLING = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minify: true,
  sourcemap: "linked",
  sourcesContent: false,
  mainFields: ["module", "main"],
  banner: { js: REQUIRE_BANNER },
  logLevel: "warning",
} satisfies BuildOptions;

/** What is bundled in place of packages that do more than a function on Lambda needs. */
export const ALIASES = {
  "@aws-sdk/credential-provider-node": join(ROOT, "infra/lambda-credentials.ts"),
  undici: join(ROOT, "infra/lambda-undici.js"),
};

/** What only the functions have, beside `BUNDLING`. What is imported dynamically is a file of its own, which no cold start reads. */
export const LAMBDA = {
  alias: ALIASES,
  // undici asks for it, to leave out a second HTTP parser that it does not use by default.
  define: { esbuildDetection: "true" },
  inject: [join(ROOT, "infra/lambda-stack-traces.ts")],
  splitting: true,
  entryNames: "index",
  chunkNames: "[name]-[hash]",
  outExtension: { ".js": ".mjs" },
} satisfies BuildOptions;

/** A file of a bundle: its name in the function's folder, and its bytes. */
export interface BundledFile {
  name: string;
  contents: Uint8Array;
}

/**
 * Bundles a function's handler into `index.mjs`, further modules that it imports, and their source maps. The bytes do not depend on where the repository is or
 * where they will be written, so that the same source is the same deployment everywhere.
 */
export function bundle(name: FunctionName): BundledFile[] {
  const { outputFiles } = buildSync({
    ...BUNDLING,
    ...LAMBDA,
    absWorkingDir: ROOT,
    entryPoints: [`functions/${name}/handler.ts`],
    outdir: `dist/${name}`,
    write: false,
  });
  return outputFiles.map(({ path, contents }) => ({ name: basename(path), contents }));
}

/** The modules of a bundle that a cold start loads: `index.mjs` and what it imports. The others come when they are asked for. */
export function loadedAtOnce(files: BundledFile[]): BundledFile[] {
  const loaded = new Set<BundledFile>();
  const load = (name: string): void => {
    const file = files.find((each) => each.name === name);
    if (!file || loaded.has(file)) return;
    loaded.add(file);
    const code = Buffer.from(file.contents).toString("utf8");
    for (const [, imported = ""] of code.matchAll(/\bfrom"\.\/([\w.-]+\.mjs)"/g)) load(imported);
  };
  load("index.mjs");
  return [...loaded];
}

/** Writes a bundle's files into a folder, which is made when it is missing. */
export function writeBundle(files: BundledFile[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, contents } of files) writeFileSync(join(folder, name), contents);
}
