import { fileURLToPath } from "node:url";
import type { BuildOptions } from "esbuild";

/** The Lambda functions; each has its handler in `functions/NAME/handler.ts`. */
export const FUNCTIONS = ["receive", "provision"] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

/** The source file of a function's handler. */
export function handlerFile(name: FunctionName): string {
  return fileURLToPath(new URL(`../functions/${name}/handler.ts`, import.meta.url));
}

/** Some dependencies are CommonJS and ask for Node's own modules with `require`, which an ES module does not have. */
const REQUIRE_BANNER = 'import{createRequire as __r}from"node:module";const require=__r(import.meta.url);';

/** How every handler is bundled: one minified ES module for Node 24, dependencies and SDK clients included. */
export const BUNDLING = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minify: true,
  keepNames: true,
  sourcemap: "linked",
  sourcesContent: false,
  mainFields: ["module", "main"],
  banner: { js: REQUIRE_BANNER },
  logLevel: "warning",
} satisfies BuildOptions;
