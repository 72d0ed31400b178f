import { expect, it } from "vitest";
import { renderChart } from "../../bench/chart.ts";
import type { Result } from "../../bench/report.ts";

const line = (measured: string, ratio: number, target?: Result["target"]): Result => ({
  row: "row",
  measured,
  figures: "",
  baseline: "",
  ratio,
  numbers: {},
  ...(target ? { target } : {}),
});

const chart = renderChart([
  line("fast <enough> & more", 0.9, { atLeast: 0.85 }),
  line("too much", 2, { atMost: 1 + 2 / 3 }),
  line("only informs", 3),
  line("nothing lost", 0, { atMost: 0 }),
  line("something lost", 0.01, { atMost: 0 }),
]);

it("shows each result that has a target, with its ratio, its target and a verdict in words", () => {
  const texts = Array.from(chart.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
  expect(texts).toEqual([
    "Ratio to the baseline of the same run; 2 of 4 targets are met",
    "target",
    ...["row: fast &lt;enough&gt; &amp; more", "0.90", "at least 0.85, met"],
    ...["row: too much", "2.00", "at most 1.67, missed"],
    ...["row: nothing lost", "0.00", "at most 0, met"],
    ...["row: something lost", "0.01", "at most 0, missed"],
  ]);
});

it("tells screen readers all of it, and follows the page's colours", () => {
  const description = /<desc id="desc">([^<]*)<\/desc>/.exec(chart)?.[1];
  expect(description).toContain(
    "2 of 4 targets are met. row, fast &lt;enough&gt; &amp; more: 0.90, at least 0.85, met.",
  );
  expect(chart).toMatch(/role="img" aria-labelledby="title desc"/);
  expect(chart).toContain("prefers-color-scheme: dark");
});

it("draws all targets on one line: a bar ends before it, on it or behind it", () => {
  const ends = (ratio: number, target: Result["target"]) => {
    const drawn = renderChart([line("bar", ratio, target)]);
    const [, x, width] = /<rect x="(\d+)" y="\d+" width="([\d.]+)"/.exec(drawn) ?? [];
    const goal = /<line x1="([\d.]+)"/.exec(drawn)?.[1];
    return Math.sign(Math.round(Number(x) + Number(width) - Number(goal)));
  };
  expect([ends(0.5, { atLeast: 1 }), ends(1.6, { atMost: 1.6 }), ends(9, { atMost: 2 })]).toEqual([-1, 0, 1]);
});
