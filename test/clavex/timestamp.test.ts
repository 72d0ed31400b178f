import { describe, expect, it } from "vitest";
import { normaliseTimestamp } from "../../functions/clavex/timestamp.ts";
import { fc } from "../support/fast-check.ts";

describe("a time of Clavex", () => {
  it.each([
    ["2026-07-23T08:15:30Z", "2026-07-23T08:15:30.000000000Z"],
    ["2026-07-23T08:15:30.1Z", "2026-07-23T08:15:30.100000000Z"],
    ["2026-07-23T08:15:30.123456789Z", "2026-07-23T08:15:30.123456789Z"],
    ["2026-07-23T10:15:30.1201+02:00", "2026-07-23T08:15:30.120100000Z"],
    ["2026-07-23T00:15:30.5+05:45", "2026-07-22T18:30:30.500000000Z"],
    ["2025-12-31T23:59:59.999999999-00:01", "2026-01-01T00:00:59.999999999Z"],
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000000Z"],
  ])("%s becomes %s", (text, normalised) => {
    expect(normaliseTimestamp(text)).toBe(normalised);
  });

  it("keeps its instant: two of them compare as text just as they do in time, whatever their offsets and digits", () => {
    fc.assert(
      fc.property(instant, instant, zone, zone, digits, digits, (first, second, zone1, zone2, digits1, digits2) => {
        const [a, b] = [cut(first, digits1), cut(second, digits2)];
        const [textA, textB] = [
          normaliseTimestamp(write(a, zone1, digits1)),
          normaliseTimestamp(write(b, zone2, digits2)),
        ];
        expect(textA).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
        expect(compare(textA ?? "", textB ?? "")).toBe(compare(a, b));
      }),
      { numRuns: 1000 },
    );
  });

  it("is the same text for the same instant in every zone", () => {
    fc.assert(
      fc.property(instant, zone, zone, (time, zone1, zone2) => {
        expect(normaliseTimestamp(write(time, zone1, 9))).toBe(normaliseTimestamp(write(time, zone2, 9)));
      }),
    );
  });

  it.each([
    "",
    "2026-07-23",
    "2026-07-23T08:15:30",
    "2026-07-23T08:15Z",
    "2026-07-23T08:15:30.Z",
    "2026-07-23T08:15:30.1234567890Z",
    "2026-07-23T08:15:30,5Z",
    "2026-07-23T08:15:30+0200",
    "2026-07-23T08:15:30+24:00",
    "2026-13-01T08:15:30Z",
    "2026-07-32T08:15:30Z",
    "2026-07-23T25:15:30Z",
    "2026-07-23T08:15:61Z",
    "+002026-07-23T08:15:30Z",
    "1784794530",
    "Thu, 23 Jul 2026 08:15:30 GMT",
    " 2026-07-23T08:15:30Z",
    "2026-07-23T08:15:30Z\n",
    "٢٠٢٦-07-23T08:15:30Z",
  ])("is not what this is: %j", (text) => {
    expect(normaliseTimestamp(text)).toBeUndefined();
  });
});

/** Nanoseconds since 1970; half of the pairs are within two seconds of each other, where digits decide. */
const instant = fc.oneof(
  fc.bigInt({ min: BigInt(Date.UTC(1000, 0)) * 1_000_000n, max: BigInt(Date.UTC(9000, 0)) * 1_000_000n }),
  fc.bigInt({ min: 0n, max: 2_000_000_000n }).map((offset) => BigInt(Date.UTC(2026, 6, 23)) * 1_000_000n + offset),
);
const zone = fc.integer({ min: -23 * 60 - 59, max: 23 * 60 + 59 });
const digits = fc.integer({ min: 0, max: 9 });

/** The instant as far as this many fraction digits show it. */
function cut(nanoseconds: bigint, fractionDigits: number): bigint {
  const unit = 10n ** BigInt(9 - fractionDigits);
  const rest = ((nanoseconds % unit) + unit) % unit;
  return nanoseconds - rest;
}

/** RFC 3339 in a zone this many minutes east of UTC. */
function write(nanoseconds: bigint, zoneMinutes: number, fractionDigits: number): string {
  const fraction = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = (nanoseconds - fraction) / 1_000_000_000n;
  const local = new Date(Number(seconds) * 1000 + zoneMinutes * 60_000).toISOString().slice(0, 19);
  const shown = fractionDigits === 0 ? "" : `.${String(fraction).padStart(9, "0").slice(0, fractionDigits)}`;
  const [hours, minutes] = [Math.trunc(Math.abs(zoneMinutes) / 60), Math.abs(zoneMinutes) % 60];
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${local}${shown}${zoneMinutes === 0 ? "Z" : `${zoneMinutes < 0 ? "-" : "+"}${two(hours)}:${two(minutes)}`}`;
}

function compare<T extends string | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
