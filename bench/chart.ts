import { isMet, type Result } from "./report.ts";

/** Measures in pixels. */
const WIDTH = 860;
const LINE = 30;
const TOP = 64;
const BARS = { left: 400, width: 270 };
/** Where a bar meets its target: beyond it there is room for half as much again. */
const TARGET_AT = BARS.left + BARS.width / 1.5;

type Judged = Result & { target: NonNullable<Result["target"]> };

/**
 * A chart of the results that have a target: each bar is the ratio, drawn so that all targets lie on one line. Where the least
 * counts a good bar ends before the line, else behind it; the words beside it say so, too.
 *
 * @returns an SVG image whose texts are texts, for light and dark pages
 */
export function renderChart(results: readonly Result[]): string {
  const judged = results.filter((result): result is Judged => result.target !== undefined);
  const height = TOP + judged.length * LINE + 16;
  const met = judged.filter(isMet).length;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title desc">
<title id="title">What the bench measured, against its targets</title>
<desc id="desc">${escaped(`${met} of ${judged.length} targets are met. ${judged.map(sentence).join(" ")}`)}</desc>
<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .quiet { fill: #59636e }
  .met { fill: #1a7f5a }
  .missed { fill: #b35900 }
  text.missed { font-weight: 600 }
  .target { stroke: #59636e; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .met { fill: #3fb98a }
    .missed { fill: #f0a04b }
    .target { stroke: #9198a1 }
  }
</style>
<text x="8" y="22">Ratio to the baseline of the same run; ${met} of ${judged.length} targets are met</text>
<text x="${TARGET_AT}" y="46" text-anchor="middle" class="quiet">target</text>
<line x1="${TARGET_AT}" x2="${TARGET_AT}" y1="52" y2="${height - 8}" class="target"/>
${judged.map(bar).join("\n")}
</svg>
`;
}

function bar(result: Judged, index: number): string {
  const y = TOP + index * LINE;
  const verdict = isMet(result) ? "met" : "missed";
  const text = y + 15;
  return [
    `<text x="8" y="${text}">${escaped(labelOf(result))}</text>`,
    `<rect x="${BARS.left}" y="${y + 2}" width="${lengthOf(result).toFixed(1)}" height="18" rx="3" class="${verdict}"/>`,
    `<text x="${BARS.left + BARS.width + 12}" y="${text}">${result.ratio.toFixed(2)}</text>`,
    `<text x="${BARS.left + BARS.width + 56}" y="${text}" class="${verdict}">${wanted(result)}, ${verdict}</text>`,
  ].join("");
}

/** Never beyond the bars' width; of a target of 0 every excess is the whole of it. */
function lengthOf({ ratio, target }: Judged): number {
  const goal = goalOf(target);
  const share = goal === 0 ? (ratio === 0 ? 0 : 1.5) : ratio / goal;
  return Math.max(2, (Math.min(share, 1.5) / 1.5) * BARS.width);
}

const goalOf = (target: Judged["target"]): number => ("atLeast" in target ? target.atLeast : target.atMost);

const wanted = ({ target }: Judged): string =>
  `${"atLeast" in target ? "at least" : "at most"} ${Number(goalOf(target).toFixed(2))}`;

const LONGEST_LABEL = 58;

function labelOf({ row, measured }: Result): string {
  const label = `${row}: ${measured}`;
  return label.length <= LONGEST_LABEL ? label : `${label.slice(0, LONGEST_LABEL - 1).trimEnd()}…`;
}

function sentence(result: Judged): string {
  const verdict = isMet(result) ? "met" : "missed";
  return `${result.row}, ${result.measured}: ${result.ratio.toFixed(2)}, ${wanted(result)}, ${verdict}.`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
