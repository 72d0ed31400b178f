/**
 * Whether a Clavex group name matches one of the patterns. `*` stands for any text, slashes included, and `?` for one
 * character; everything else is itself. Letter case matters, as it does in Clavex.
 */
export function matchesAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => expression(pattern).test(name));
}

const expressions = new Map<string, RegExp>();

function expression(pattern: string): RegExp {
  const known = expressions.get(pattern);
  if (known) return known;
  const source = pattern
    .split(/(\*+|\?)/)
    .map((part) => (part.startsWith("*") ? ".*" : part === "?" ? "." : RegExp.escape(part)))
    .join("");
  const made = new RegExp(`^${source}$`, "su");
  expressions.set(pattern, made);
  return made;
}
