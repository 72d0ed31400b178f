import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Its text, where infra/program.ts has bundled it. */
declare const BUNDLED_HTMX: string | undefined;

/** The library that replaces a part of a page by what the server sends; without it pages work, but do not renew themselves. */
export function htmx(): string {
  if (typeof BUNDLED_HTMX === "string") return BUNDLED_HTMX;
  return readFileSync(fileURLToPath(import.meta.resolve("htmx.org/dist/htmx.min.js")), "utf8");
}
