const RFC3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

/**
 * Brings a Clavex time (any offset, 0 to 9 fraction digits) into UTC with nine fraction digits, so that two of them can be
 * compared as text: `2026-07-23T10:15:30.1201+02:00` becomes `2026-07-23T08:15:30.120100000Z`.
 *
 * @returns undefined when the text is not such a time
 */
export function normaliseTimestamp(text: string): string | undefined {
  const match = RFC3339.exec(text);
  if (!match) return undefined;
  const [, date = "", time, fraction = "", offset = ""] = match;
  const milliseconds = Date.parse(`${date}T${time}${offset.toUpperCase()}`);
  if (Number.isNaN(milliseconds) || !isDate(date)) return undefined;
  const utc = new Date(milliseconds).toISOString();
  // Years of other than four digits would not compare as text.
  return /^\d{4}-/.test(utc) ? `${utc.slice(0, 19)}.${fraction.padEnd(9, "0")}Z` : undefined;
}

/** Date.parse takes 30 February for 2 March; every month has 28 days. */
function isDate(date: string): boolean {
  return date.slice(8) <= "28" || new Date(`${date}T00:00:00Z`).toISOString().startsWith(date);
}
