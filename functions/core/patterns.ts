/**
 * Whether a Clavex group name matches one of the patterns. `*` stands for any text, slashes included, and `?` for one
 * character; everything else is itself. Letter case matters, as it does in Clavex.
 */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => pattern === "*" || matches(charactersOf(pattern), [...name]));
}

const known = new Map<string, readonly string[]>();

/** The characters of a pattern: an emoji is one. */
function charactersOf(pattern: string): readonly string[] {
  const characters = known.get(pattern) ?? [...pattern];
  known.set(pattern, characters);
  return characters;
}

/**
 * Compares character by character. Where it goes wrong, only the last `*` takes one character more, for what stands before it
 * fits already: so the steps are at most the product of both lengths, even for a hostile name.
 *
 * @param onStep called for each comparison
 */
export function matches(
  pattern: readonly string[],
  name: readonly string[],
  onStep: () => void = () => undefined,
): boolean {
  let [p, n] = [0, 0];
  let star: { p: number; n: number } | undefined;
  while (n < name.length) {
    onStep();
    if (pattern[p] === "*") {
      star = { p, n };
      p += 1;
    } else if (p < pattern.length && (pattern[p] === "?" || pattern[p] === name[n])) {
      p += 1;
      n += 1;
    } else if (star) {
      star.n += 1;
      [p, n] = [star.p + 1, star.n];
    } else return false;
  }
  return pattern.slice(p).every((character) => character === "*");
}
