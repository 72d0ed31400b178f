import { expect, test } from "vitest";
import { blocksBelow } from "../support/page.ts";
import { run } from "../support/processes.ts";

test("npm run demo ends with 0 and shows what became of the joiner, the mover and the leaver", async () => {
  const demo = run("functions/cli/main.ts", ["demo"]);
  expect(await demo.ended).toBe(0);
  const row = (...cells: string[]) => new RegExp(cells.join("\\s*│\\s*"));
  expect(demo.output()).toMatch(row("joined", "Ada Lovelace", "Engineering", "5 GB", "yes", "in sync"));
  expect(demo.output()).toMatch(row("moved", "Grace Brewster Hopper", "Board, Finance", "20 GB", "yes", "in sync"));
  expect(demo.output()).toMatch(row("left", "Linus Pauling", "Sales", "5 GB", "no", "in sync"));
  expect(demo.output()).not.toContain("WRONG");
  // README.md shows the end of it, word for word.
  const [shown] = blocksBelow("README.md", "Try it").filter(({ language }) => language === "");
  expect(demo.output().replaceAll(/[^\S\n]+$/gm, "")).toContain((shown?.text ?? "missing").replace(/^\.\.\.\n/, ""));
});
