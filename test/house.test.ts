import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

/*
 * The rules of the house (docs/architecture.md), held by reading what the files of functions/ import.
 */

const FILES = readdirSync("functions", { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name))
  .map((name) => join("functions", name));

interface Import {
  from: string;
  /** A path below functions/, or the name of a package. */
  to: string;
  names: string;
  /** `load`: at the start of the program. `lazy`: when it is called for. `type`: never. */
  when: "load" | "lazy" | "type";
}

const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:([\w*\s{},]+?)\s+from\s+)?"([^"]+)";/gm;
const CALL = /\bimport\(\s*"([^"]+)"\s*\)/g;

function importsOf(file: string): Import[] {
  const text = readFileSync(file, "utf8");
  const resolve = (to: string): string => (to.startsWith(".") ? normalize(join(dirname(file), to)) : to);
  return [
    ...Array.from(
      text.matchAll(STATEMENT),
      ([, type, names = "", to = ""]): Import => ({ from: file, to: resolve(to), names, when: type ? "type" : "load" }),
    ),
    ...Array.from(
      text.matchAll(CALL),
      ([, to = ""]): Import => ({ from: file, to: resolve(to), names: "", when: "lazy" }),
    ),
  ];
}

const IMPORTS = FILES.flatMap(importsOf);
const inside = ({ to }: Import): boolean => to.startsWith("functions/");
const shown = ({ from, to }: Import): string => `${from} imports ${to}`;

/** The first folder below functions/, or the file's name for those that are in none. */
const roomOf = (file: string): string => file.split("/")[1] ?? "";

/** Imports point down only: a room may import those that stand before it. */
const FLOORS: string[][] = [
  ["core"],
  ["version.ts"],
  ["system-errors.ts", "folders.ts", "deadline.ts", "aws.ts"],
  ["http.ts", "coalesced.ts", "side-by-side.ts", "read-ahead.ts", "database.ts", "clocks.ts"],
  ["config"],
  ["clavex", "nextcloud", "telemetry"],
  ["ledger", "queue", "activity"],
  ["clients.ts"],
  ["provision", "receive"],
  ["reconcile", "replay"],
  ["operator"],
  ["local"],
  ["doctor"],
  ["console"],
  ["setup"],
  ["cli"],
];
const floorOf = (file: string): number => FLOORS.findIndex((rooms) => rooms.includes(roomOf(file)));

/** The entry points of the functions, which build everything: they may import any room but the command line. */
const isEntry = (file: string): boolean => file.endsWith("/handler.ts");

describe("the rules of the house", () => {
  it("reads every file of every room", () => {
    expect(IMPORTS.length).toBeGreaterThan(FILES.length);
    const known = new Set([...FLOORS.flat(), "simulated"]);
    expect(FILES.filter((file) => !known.has(roomOf(file)))).toEqual([]);
  });

  it("core imports zod, node:crypto and itself", () => {
    const allowed = ({ to }: Import) => to === "zod" || to === "node:crypto" || to.startsWith("functions/core/");
    expect(
      IMPORTS.filter(({ from }) => roomOf(from) === "core")
        .filter((each) => !allowed(each))
        .map(shown),
    ).toEqual([]);
  });

  it("core waits for nothing, and reads neither clock nor environment", () => {
    const impure =
      /\basync\b|\bawait\b|\bDate\.now\b|new Date\(\)|\bperformance\.|\bprocess\.|\bsetTimeout\b|Math\.random\(\)/;
    const code = (file: string) => readFileSync(file, "utf8").replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    expect(FILES.filter((file) => roomOf(file) === "core" && impure.test(code(file)))).toEqual([]);
  });

  it("clavex and nextcloud know neither each other nor anything above them", () => {
    const adapters = IMPORTS.filter(({ from }) => ["clavex", "nextcloud"].includes(roomOf(from))).filter(inside);
    const allowed = ({ from, to }: Import) =>
      [roomOf(from), "core", "http.ts", "coalesced.ts", "side-by-side.ts", "read-ahead.ts"].includes(roomOf(to));
    expect(adapters.filter((each) => !allowed(each)).map(shown)).toEqual([]);
  });

  it("imports point down only", () => {
    const up = IMPORTS.filter(inside).filter(({ from, to, when }) => {
      if (roomOf(from) === "simulated" || roomOf(to) === "simulated" || isEntry(from)) return false;
      return (
        when !== "lazy" &&
        (floorOf(from) < floorOf(to) || (roomOf(from) !== roomOf(to) && floorOf(from) === floorOf(to)))
      );
    });
    expect(up.map(shown)).toEqual([]);
  });

  it("only config and cli read the environment", () => {
    const reads = (file: string) => /\bprocess\.env\b|\bloadEnvFile\b/.test(readFileSync(file, "utf8"));
    expect(FILES.filter((file) => !["config", "cli"].includes(roomOf(file)) && reads(file))).toEqual([]);
  });

  it("a command that a person is told to type begins with npx", () => {
    const bare =
      /(?<!npx )(?<![\w/.@-])clavex-nextcloud (?:apply|backup|console|dead-letters|demo|doctor|explain|pause|plan|provision|reconcile|rehearse|restore|resume|send|setup|start|status|unknown|accept-identity)\b/;
    const said = (file: string) =>
      readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => !/^\s*(?:\*|\/)/.test(line));
    expect(FILES.flatMap((file) => said(file).filter((line) => bare.test(line)))).toEqual([]);
  });

  it("production code never loads the simulators; the demo loads them when it runs", () => {
    const loads = IMPORTS.filter(({ from, to }) => roomOf(to) === "simulated" && roomOf(from) !== "simulated");
    const allowed = ({ from, when }: Import) => when === "type" || (roomOf(from) === "cli" && when === "lazy");
    expect(loads.filter((each) => !allowed(each)).map(shown)).toEqual([]);
  });

  it("npm start loads nothing of AWS, and no command does without --stage", () => {
    const loaded = new Set(["functions/cli/main.ts", "functions/local/pipeline.ts"]);
    // A set visits what is added during the walk too.
    for (const file of loaded) {
      for (const { from, to, when } of IMPORTS) if (from === file && when === "load") loaded.add(to);
    }
    expect(loaded).toContain("functions/queue/sqlite.ts");
    expect([...loaded].filter((each) => each.startsWith("@aws"))).toEqual([]);
  });

  it("the simulators know nothing of the clients that are tested against them", () => {
    const code = IMPORTS.filter(({ from }) => roomOf(from) === "simulated").filter(inside);
    const forbidden = ({ to }: Import) => ["nextcloud", "provision", "reconcile", "receive"].includes(roomOf(to));
    expect(code.filter(forbidden).map(shown)).toEqual([]);
  });

  it("the desired account becomes a plan in one place", () => {
    const values = ({ names }: Import) => names.split(/[{},]/).map((name) => name.trim());
    const plans = IMPORTS.filter((each) => each.to === "functions/core/plan.ts" && values(each).includes("plan"));
    expect(plans.map(({ from }) => from)).toEqual(["functions/core/evaluate.ts"]);
  });

  it("nothing is decided by the class of another room's error", () => {
    const found = FILES.flatMap((file) => {
      const text = readFileSync(file, "utf8");
      return Array.from(text.matchAll(/instanceof (\w+)/g), ([, name = ""]) => name).flatMap((name) => {
        const origin = importsOf(file).find(({ names }) => new RegExp(`\\b${name}\\b`).test(names));
        const foreign = origin && inside(origin) && ![roomOf(file), "core", "http.ts"].includes(roomOf(origin.to));
        return foreign ? [`${file}: ${name} of ${origin.to}`] : [];
      });
    });
    expect(found).toEqual([]);
  });

  it("every property draws from the one seed that test/support/fast-check.ts sets", () => {
    const tests = readdirSync("test", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
    const ownChance = (name: string) =>
      /^import .*"fast-check"|[{,]\s*seed:|env\.\w*SEED/m.test(readFileSync(join("test", name), "utf8"));
    expect(tests.filter((name) => ownChance(name))).toEqual([join("support", "fast-check.ts")]);
  });

  it("an entry point only builds its dependencies and hands the event over", () => {
    const long = FILES.filter(isEntry).filter((file) => readFileSync(file, "utf8").split("\n").length > 120);
    expect(long).toEqual([]);
  });
});
