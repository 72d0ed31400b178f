import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ACCOUNT } from "./emulator.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const APP = '--app "node test/deploy/app.ts"';

/** How a command ended. */
export interface Done {
  code: number | null;
  stdout: string;
  /** Both together. */
  output: string;
}

/** A folder that is used as an admin's copy of the repository, with organization files and settings of its own. */
export interface Checkout {
  write(path: string, text: string): void;
  /**
   * Runs a command line as it stands in a page, or several, in this folder and against the emulator.
   *
   * @param input what is typed in
   * @param more what the environment holds beside the emulator's address, in place of what it would
   */
  run(line: string, input?: string, more?: Record<string, string>): Promise<Done>;
  remove(): void;
}

/** @param environment what the programs find in their environment, beside PATH and a home of their own */
export function makeCheckout(bin: string, environment: Record<string, string>): Checkout {
  const folder = mkdtempSync(join(tmpdir(), "clavex-nextcloud-deploy-"));
  for (const name of ["node_modules", "bin", "functions", "infra", "test", "package.json"])
    symlinkSync(join(ROOT, name), join(folder, name));
  copyFileSync(join(ROOT, "cdk.json"), join(folder, "cdk.json"));
  mkdirSync(join(folder, "organizations"));
  copyFileSync(join(ROOT, "organizations/example.json"), join(folder, "organizations/example.json"));
  const home = join(folder, "home");
  mkdirSync(home);
  return {
    write: (path, text) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    },
    async run(line, input = "", more = {}) {
      const child = spawn("bash", ["--norc", "-euo", "pipefail", "-c", forEmulator(line)], {
        cwd: folder,
        env: {
          ...environment,
          ...more,
          PATH: [join(folder, "node_modules/.bin"), dirname(process.execPath), bin, process.env.PATH].join(":"),
          HOME: home,
          NO_COLOR: "1",
          // CDK's own validation of the template is half of the work: cfn-lint looks at it here, and test/infra lets CDK do so.
          CDK_VALIDATION: "false",
        },
      });
      let [stdout, output] = ["", ""];
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text;
        output += text;
      });
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
      child.stdin.end(input);
      const [code] = (await once(child, "close")) as [number | null];
      return { code, stdout, output };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The emulator's account, the stack as it can create it, nobody who answers questions, and no npx, which takes a second. */
function forEmulator(line: string): string {
  return line
    .replaceAll("123456789012", ACCOUNT)
    .replaceAll(/npx cdk (bootstrap|diff)/g, `cdk $1 ${APP}`)
    .replaceAll(" --require-approval never", "")
    .replaceAll("npx cdk deploy", `cdk deploy ${APP} --require-approval never`)
    .replaceAll("npx cdk destroy", `cdk destroy ${APP} --force`)
    .replaceAll(/npx clavex-nextcloud ((?:pause|resume|setup) .*)/g, "npx clavex-nextcloud $1 --yes")
    .replaceAll("npx clavex-nextcloud", "node bin/clavex-nextcloud.mjs");
}
