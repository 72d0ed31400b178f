/** A quota as Nextcloud effectively holds it: bytes, or "none" for unlimited. */
export type Quota = number | "none";

/** A text that Nextcloud would not read as the quota its author meant. */
export class InvalidQuota extends Error {
  override name = "InvalidQuota";
}

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"] as const;
const QUOTA = /^(\d+(?:\.\d+)?)\s*(?:([KMGTP])?B?)$/i;
const BINARY_UNIT = /^(\d+(?:\.\d+)?)\s*([KMGTP])iB?$/i;

/**
 * Reads a quota such as `5 GB`, `512mb`, `5368709120` (bytes) or `none`.
 *
 * Units are powers of 1024, as Nextcloud counts them. The result is what Nextcloud holds after its own rounding
 * (`123456789` becomes 117.7 MB = 123417395 bytes), so that two quotas can be compared with `===`.
 *
 * @throws {InvalidQuota} for anything else. `5 GiB` is refused because Nextcloud silently reads it as 5 bytes.
 */
export function parseQuota(text: string): Quota {
  const trimmed = text.trim();
  if (trimmed.toLowerCase() === "none") return "none";
  const match = QUOTA.exec(trimmed);
  if (!match) throw new InvalidQuota(explain(text));
  const bytes = fromHuman(humanSize(Math.round(Number(match[1]) * 1024 ** unitIndex(match[2]))));
  if (!Number.isSafeInteger(bytes)) throw new InvalidQuota(`${shown(text)} is too large; write "none" for unlimited`);
  return bytes;
}

/** A quota in a message, shortened if it is very long. */
function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
}

function explain(text: string): string {
  const binary = BINARY_UNIT.exec(text.trim());
  if (binary) {
    const unit = binary[2]?.toUpperCase();
    return `${shown(text)} would be read by Nextcloud as ${Math.round(Number(binary[1]))} bytes: write "${binary[1]} ${unit}B" (Nextcloud's ${unit}B is a power of 1024)`;
  }
  return `${shown(text)} is not a quota: write a number with B, KB, MB, GB, TB or PB (such as "5 GB"), or "none"`;
}

function unitIndex(letter: string | undefined): number {
  return letter === undefined ? 0 : " KMGTP".indexOf(letter.toUpperCase());
}

/** Nextcloud stores a quota as text, rounded like this: whole bytes and KB, one decimal from MB upwards. */
function humanSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let size = Math.round(bytes / 1024);
  let unit = 1;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size = Math.round((size / 1024) * 10) / 10;
    unit += 1;
  }
  return `${size} ${UNITS[unit]}`;
}

function fromHuman(text: string): number {
  const [size, unit] = text.split(" ");
  return Math.round(Number(size) * 1024 ** UNITS.indexOf(unit as (typeof UNITS)[number]));
}

/**
 * The string to send to Nextcloud: a unit is always named, because the user_oidc endpoint ignores a bare `0` and a JSON
 * number fails there.
 */
export function quotaText(quota: Quota): string {
  return quota === "none" ? "none" : humanSize(quota);
}

/** The larger of two quotas; `none` is the largest. */
export function largerQuota(a: Quota, b: Quota): Quota {
  return a === "none" || b === "none" ? "none" : Math.max(a, b);
}

/**
 * The quota in Nextcloud's answer to `GET cloud/users/{id}`: `quota.quota` is bytes, `"none"` before the home exists,
 * and -3 for unlimited afterwards. Undefined when it is none of these.
 */
export function quotaFromAnswer(value: unknown): Quota | undefined {
  if (value === "none" || value === -3) return "none";
  return typeof value === "number" && value >= 0 && Number.isFinite(value) ? value : undefined;
}

/** Whether Nextcloud reads a text as the quota that its author meant. */
export function isQuota(text: string): boolean {
  try {
    parseQuota(text);
    return true;
  } catch (error) {
    if (error instanceof InvalidQuota) return false;
    throw error;
  }
}

const ENDING = /([KMGTP])?B?$/i;

/**
 * What a login makes of a quota claim, which the pipeline would not write like that (docs/facts/nextcloud.md 3 and 7): a unit that
 * Nextcloud knows only the end of counts as bytes, so `5 GiB` and `5 XB` are 5, and what is negative is unlimited.
 *
 * @returns undefined where Nextcloud gives up: the login ends with HTTP 500. Nextcloud 27 does for such a unit, too.
 */
export function quotaAtLogin(text: string): Quota | undefined {
  const trimmed = text.trim();
  if (/^(?:none|default)$/i.test(trimmed)) return "none";
  const unit = ENDING.exec(trimmed);
  const number = Number.parseFloat(trimmed);
  const isPlain = trimmed !== "" && Number.isFinite(Number(trimmed));
  if (!isPlain && (unit === null || unit[0] === "")) return undefined;
  const amount = Number.isNaN(number) ? 0 : number;
  const bytes = Math.round(isPlain ? amount : amount * 1024 ** unitIndex(unit?.[1]?.toUpperCase()));
  return bytes < 0 ? "none" : fromHuman(humanSize(bytes));
}
