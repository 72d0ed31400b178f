/**
 * The quota arithmetic of the real server: quotas are kept as human-readable text and lose precision by it.
 * `"123456789"` comes back as 123417395 (docs/facts/nextcloud.md 3).
 */

const UNITS: Record<string, number> = {
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1024 ** 3,
  t: 1024 ** 4,
  tb: 1024 ** 4,
  p: 1024 ** 5,
  pb: 1024 ** 5,
};

/** A size text in bytes, or undefined where the real parser gives up. A unit it half knows counts as bytes: `5 GiB` is 5. */
export function computerFileSize(text: string): number | undefined {
  const lower = text.toLowerCase();
  if (isNumeric(lower)) return Math.round(Number(lower));
  const unit = /([kmgtp]?b?)$/.exec(lower)?.[1] ?? "";
  const factor = UNITS[unit];
  if (factor === undefined) return undefined;
  const amount = Number.parseFloat(lower);
  return Math.round((Number.isNaN(amount) ? 0 : amount) * factor);
}

/** Bytes as the server writes them down, rounded; `?` below zero. */
export function humanFileSize(bytes: number): string {
  if (bytes < 0) return "?";
  if (bytes < 1024) return `${bytes} B`;
  let amount = Math.round(bytes / 1024);
  for (const unit of ["KB", "MB", "GB", "TB"]) {
    if (amount < 1024) return `${amount} ${unit}`;
    amount = Math.round((amount / 1024) * 10) / 10;
  }
  return `${amount} PB`;
}

/** Whether PHP takes a text for a number. */
function isNumeric(text: string): boolean {
  return /^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*$/.test(text);
}

/** What a stored quota comes to: bytes, or `none`. `default` and nothing stored mean the server's default, `none`. */
export function effectiveQuota(stored: string): number | "none" {
  if (stored === "" || stored === "none" || stored === "default") return "none";
  return computerFileSize(stored) ?? 0;
}
