import { readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { fileURLToPath } from "node:url";

/*
 * Stack traces of a bundle name the TypeScript files. Node.js can do so too (`--enable-source-maps`), but reads the map whenever
 * the bundle is loaded, which is a sixth of a cold start; here it is read for the first error whose trace somebody looks at.
 */

const PLACE = /(file:\/\/[^\s()]+\.mjs):(\d+):(\d+)/;
const maps = new Map<string, SourceMap>();

function mapOf(file: string): SourceMap {
  const known = maps.get(file);
  if (known) return known;
  const map = new SourceMap(JSON.parse(readFileSync(fileURLToPath(`${file}.map`), "utf8")) as SourceMapPayload);
  maps.set(file, map);
  return map;
}

/** The same frame with the place in the source, from the repository's root; as it is where no map knows it. */
function inSource(frame: string): string {
  return frame.replace(PLACE, (place, file: string, line: string, column: string) => {
    try {
      const origin = mapOf(file).findOrigin(Number(line), Number(column));
      if (!("fileName" in origin)) return place;
      return `${origin.fileName.replace(/^(?:\.\.\/)+/, "")}:${origin.lineNumber}:${origin.columnNumber}`;
    } catch {
      return place;
    }
  });
}

Error.prepareStackTrace = (error, frames) =>
  [Error.prototype.toString.call(error), ...frames.map((frame) => `    at ${inSource(String(frame))}`)].join("\n");
