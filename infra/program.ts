import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { BUNDLING } from "./bundling.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** The whole command line in one file, which Node.js 24 runs anywhere. */
export const PROGRAM = "dist/clavex-nextcloud.mjs";

/** With a name that is too long to be one of those that the bundler makes up. */
const REQUIRE_BANNER =
  'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);';

/** Bundles `clavex-nextcloud` with all that it needs. An older Node.js can read it too, to say that it is too old. */
export function bundleProgram(): Uint8Array {
  const { outputFiles } = buildSync({
    ...BUNDLING,
    target: "node20",
    banner: { js: REQUIRE_BANNER },
    sourcemap: false,
    // What the console serves to browsers has to be in the one file too.
    define: {
      BUNDLED_HTMX: JSON.stringify(readFileSync(join(ROOT, "node_modules/htmx.org/dist/htmx.min.js"), "utf8")),
    },
    alias: { "node:sqlite": join(ROOT, "infra/node-sqlite.ts") },
    absWorkingDir: ROOT,
    entryPoints: ["functions/cli/main.ts"],
    outfile: PROGRAM,
    write: false,
  });
  return outputFiles[0]?.contents ?? new Uint8Array();
}

/** The manifest of the package: the bundled program needs nothing but a Node.js, which the package `node` can bring. */
export function packageManifest(repository: Record<string, unknown>): object {
  const { name, version, description, license, type, engines, bin, files, dependencies } = repository;
  const { node } = dependencies as Record<string, string>;
  return { name, version, description, license, type, engines, bin, files, optionalDependencies: { node } };
}

const MANIFEST = join(ROOT, "package.json");
const KEPT = join(ROOT, "dist/package.json");

/** Before `npm pack`: the package's manifest takes the place of the repository's. */
export function preparePackage(): void {
  const text = readFileSync(MANIFEST, "utf8");
  const manifest = packageManifest(JSON.parse(text));
  writeFileSync(KEPT, text);
  writeFileSync(MANIFEST, `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** After `npm pack`. */
export function restoreManifest(): void {
  renameSync(KEPT, MANIFEST);
}
