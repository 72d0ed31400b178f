#!/usr/bin/env node
// Plain JavaScript for any Node.js: it finds the one that runs the program, or says in one sentence what is missing.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { fileURLToPath, pathToFileURL } from "node:url";

const NEEDED = 24;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
// The repository has the sources; a package has them bundled, because Node.js runs no TypeScript below node_modules.
const program = [here("../functions/cli/main.ts"), here("../dist/clavex-nextcloud.mjs")].find((each) =>
  existsSync(each),
);

/** The Node.js that the package `node` brings; its install script fetches it. */
function bundledNode() {
  try {
    const path = createRequire(import.meta.url).resolve("node/bin/node");
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

function runWith(node) {
  const child = spawn(node, [program, ...process.argv.slice(2)], { stdio: "inherit" });
  // A terminal sends Ctrl-C to both.
  process.on("SIGINT", () => undefined);
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}

if (Number(process.versions.node.split(".")[0]) >= NEEDED) {
  await import(pathToFileURL(program).href);
} else {
  const node = bundledNode();
  if (node === undefined) {
    process.stderr.write(
      `clavex-nextcloud needs Node.js ${NEEDED}, this is ${process.version}, and the package "node" that brings it is not complete because its install script did not run: allow it with "npm rebuild node --ignore-scripts=false", or install Node.js ${NEEDED}.\n`,
    );
    process.exitCode = 1;
  } else runWith(node);
}
