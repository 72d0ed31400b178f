import { readFileSync } from "node:fs";

/** The lines of a file of recordings. */
export function load<T>(file: string): T[] {
  const text = readFileSync(new URL(`recordings/${file}`, import.meta.url), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as T);
}
