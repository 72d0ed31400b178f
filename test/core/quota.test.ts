import { describe, expect, it } from "vitest";
import {
  InvalidQuota,
  largerQuota,
  parseQuota,
  quotaAtLogin,
  quotaFromAnswer,
  quotaText,
} from "../../functions/core/quota.ts";
import { computerFileSize, effectiveQuota, humanFileSize } from "../../functions/simulated/nextcloud-quota.ts";
import { fc } from "../support/fast-check.ts";

const GB = 1024 ** 3;

/** What Nextcloud makes of a text, by its own arithmetic. */
const byNextcloud = (text: string): number | "none" | undefined => {
  if (text === "none") return "none";
  const bytes = computerFileSize(text);
  return bytes === undefined ? undefined : effectiveQuota(humanFileSize(bytes));
};

/** The quota, or undefined where the text is refused. */
function accepted(text: string): number | "none" | undefined {
  try {
    return parseQuota(text);
  } catch {
    return undefined;
  }
}

describe("a quota", () => {
  it.each([
    ["5 GB", 5 * GB],
    ["5GB", 5 * GB],
    ["5gb", 5 * GB],
    ["5120 MB", 5 * GB],
    ["5368709120", 5 * GB],
    ["  5 GB\n", 5 * GB],
    ["1.5 GB", 1.5 * GB],
    ["10 B", 10],
    ["2 k", 2048],
    ["3 TB", 3 * 1024 ** 4],
    ["1 PB", 1024 ** 5],
    ["0", 0],
    ["0 B", 0],
    ["none", "none"],
    ["None", "none"],
  ] as const)("%j is %j", (text, quota) => {
    expect(parseQuota(text)).toBe(quota);
  });

  it.each([
    ["123456789", 123417395],
    ["1023 B", 1023],
    ["1025 B", 1024],
    ["1.26 MB", Math.round(1.3 * 1024 ** 2)],
    ["1023.96 MB", 1024 ** 3],
    ["10.04 GB", 10 * GB],
  ] as const)("%j is rounded as Nextcloud rounds it, to %d bytes", (text, bytes) => {
    expect(parseQuota(text)).toBe(bytes);
    expect(byNextcloud(text)).toBe(bytes);
  });

  it("is for every accepted text exactly what Nextcloud holds after it was sent", () => {
    const amount = fc.oneof(
      fc.nat(),
      fc.maxSafeNat(),
      fc.nat(5_000_000).map((n) => n / 100),
    );
    const unit = fc.constantFrom("", " B", " KB", "kb", " M", " MB", "GB", " gb", " TB", " PB");
    fc.assert(
      fc.property(amount, unit, (number, suffix) => {
        const text = `${number}${suffix}`;
        const quota = accepted(text);
        if (quota === undefined) return;
        expect(quota).toBe(byNextcloud(text));
        expect(byNextcloud(quotaText(quota))).toBe(quota);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("the text of a quota", () => {
  it("is read back as the same quota", () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat().map((bytes) => Math.floor(bytes / 2)),
        (bytes) => {
          const quota = parseQuota(String(bytes));
          expect(parseQuota(quotaText(quota))).toBe(quota);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    "8000 TB",
    "7.9 PB",
    "7.99 PB",
    "8191.95 TB",
    "8 PB",
    "9007199254740991",
  ])("of %s is read back as the same quota, where so large a quota is accepted at all", (text) => {
    const quota = accepted(text);
    if (quota !== undefined) expect(accepted(quotaText(quota))).toBe(quota);
  });

  it("is `none` for unlimited, and always names a unit: user_oidc ignores a bare 0", () => {
    expect(quotaText("none")).toBe("none");
    expect(quotaText(0)).toBe("0 B");
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(quotaText(bytes)).toMatch(/^\d+(\.\d)? [KMGTP]?B$/);
      }),
    );
  });
});

describe("a text that Nextcloud would read otherwise", () => {
  it.each([
    ["-1"],
    ["-3"],
    ["-5 GB"],
    ["abc"],
    ["default"],
    [""],
    ["   "],
    ["5 XB"],
    ["GB"],
    ["5 GB extra"],
  ])("%j is refused, saying what to write", (text) => {
    expect(() => parseQuota(text)).toThrow(InvalidQuota);
    expect(() => parseQuota(text)).toThrow(`${JSON.stringify(text)} is not a quota: write a number with B, KB, MB`);
  });

  it.each([
    ["1e3"],
    ["0x10"],
    ["5,5 GB"],
    ["1.2.3 GB"],
    ["+5 GB"],
    ["٥ GB"],
    ["NaN"],
    ["Infinity"],
    [".5 GB"],
    ["5. GB"],
  ])("%j is refused", (text) => {
    expect(() => parseQuota(text)).toThrow(InvalidQuota);
  });

  it.each([
    ["5 GiB", '"5 GiB" would be read by Nextcloud as 5 bytes: write "5 GB"'],
    ["512mib", '"512mib" would be read by Nextcloud as 512 bytes: write "512 MB"'],
  ])("%j is refused, because it would become a few bytes without a word", (text, message) => {
    expect(byNextcloud(text)).toBe(Number.parseInt(text, 10));
    expect(() => parseQuota(text)).toThrow(message);
  });

  it.each([["9 PB"], ["9007199254740993"], ["1000000 PB"]])("%j is refused as too large", (text) => {
    expect(() => parseQuota(text)).toThrow('is too large; write "none" for unlimited');
  });

  it("is shown only in part when it is long", () => {
    expect(() => parseQuota("x".repeat(5_000))).toThrow(/^"x{40}\.\.\." is not a quota/);
  });

  it("of any kind is refused with an InvalidQuota and nothing else", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseQuota(text);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidQuota);
        }
      }),
    );
  });
});

describe("what a login makes of a quota claim", () => {
  it.each([
    ["5 GB", 5 * GB],
    [" 5gb ", 5 * GB],
    ["5 GiB", 5],
    ["5 XB", 5],
    ["512 B", 512],
    ["123456789", 123417395],
    ["lots of MB", 0],
    ["none", "none"],
    ["Default", "none"],
    ["-1", "none"],
    ["much", undefined],
    ["5 Gi", undefined],
    ["", undefined],
  ])("%j: %j", (text, quota) => {
    expect(quotaAtLogin(text)).toBe(quota);
  });

  it("is what Nextcloud's own arithmetic makes of it", () => {
    const text = fc
      .tuple(fc.nat(99_999), fc.constantFrom("", " "), fc.string({ maxLength: 3 }))
      .map((parts) => parts.join(""));
    fc.assert(fc.property(text, (claim) => void expect(quotaAtLogin(claim)).toBe(byNextcloud(claim.trim()))));
  });
});

describe("the larger quota", () => {
  it("is the one with more bytes, and none is larger than any", () => {
    expect(largerQuota(1, 2)).toBe(2);
    expect(largerQuota(2, 1)).toBe(2);
    expect(largerQuota("none", Number.MAX_SAFE_INTEGER)).toBe("none");
    expect(largerQuota(0, "none")).toBe("none");
    expect(largerQuota("none", "none")).toBe("none");
  });
});

describe("the quota in an answer", () => {
  it.each([
    [5368709120, 5368709120],
    [0, 0],
    ["none", "none"],
    [-3, "none"],
    [-1, undefined],
    ["default", undefined],
    ["5 GB", undefined],
    [null, undefined],
    [undefined, undefined],
    [Number.NaN, undefined],
  ])("%j is %j", (value, quota) => {
    expect(quotaFromAnswer(value)).toBe(quota);
  });
});
