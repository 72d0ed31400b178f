import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { sign, verifySignature } from "../../functions/clavex/signature.ts";
import { fc } from "../support/fast-check.ts";

const SECRET = "00112233445566778899aabbccddeeff".repeat(2);
const OTHER_SECRET = "ffeeddccbbaa99887766554433221100".repeat(2);

/* Two deliveries of one event as Clavex sends them: the first time, and as a retry (read back from its database). */
const FIRST =
  '{"id":"a3a0e6b6-6d3b-4a57-9d0c-0f4f0f7f3f11","event":"user.deleted","occurred_at":"2026-07-23T08:15:30.123456789Z","data":{"id":"6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21","org_id":"0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10"}}';
const FIRST_SIGNATURE = "sha256=a9d49ab492926db3a6db00ec699e97c02ca7865efefe17df86854aa0edfe8f65";
const RETRY =
  '{"id": "a3a0e6b6-6d3b-4a57-9d0c-0f4f0f7f3f11", "data": {"id": "6f1c2f9e-0d0b-4c53-8a1e-3d7b0c9a4e21", "org_id": "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10"}, "event": "user.deleted", "occurred_at": "2026-07-23T08:15:30.123456789Z"}';
const RETRY_SIGNATURE = "sha256=2b7f7448b16c064c42280074710bf6b3d2838ba63eb840ddb542784e23e942f1";

const bytes = (text: string): Uint8Array => Buffer.from(text, "utf8");
const verify = (body: string, header: string | undefined, ...secrets: string[]): boolean =>
  verifySignature(bytes(body), header, secrets);

describe("Clavex's own signatures", () => {
  it.each([
    ["the first delivery", FIRST, FIRST_SIGNATURE],
    ["a retry, with other white space and key order", RETRY, RETRY_SIGNATURE],
  ])("are reproduced and accepted for %s", (_, body, signature) => {
    expect(sign(body, SECRET)).toBe(signature);
    expect(sign(bytes(body), SECRET)).toBe(signature);
    expect(verify(body, signature, SECRET)).toBe(true);
  });

  it("do not fit the same delivery in its other form", () => {
    expect(verify(RETRY, FIRST_SIGNATURE, SECRET)).toBe(false);
    expect(verify(FIRST, RETRY_SIGNATURE, SECRET)).toBe(false);
  });
});

describe("a body", () => {
  it("is refused when any one bit of it has changed", () => {
    fc.assert(
      fc.property(fc.nat(FIRST.length - 1), fc.nat(7), (index, bit) => {
        const changed = Buffer.from(FIRST);
        changed[index] = (changed[index] ?? 0) ^ (1 << bit);
        return !verifySignature(changed, FIRST_SIGNATURE, [SECRET]);
      }),
    );
  });

  it.each([
    ["a byte more", `${FIRST} `],
    ["a byte less", FIRST.slice(0, -1)],
    ["nothing", ""],
  ])("is refused with %s", (_, body) => {
    expect(verify(body, FIRST_SIGNATURE, SECRET)).toBe(false);
  });

  it("may be empty, when the signature is that of an empty one", () => {
    expect(verify("", sign("", SECRET), SECRET)).toBe(true);
  });

  it("is signed as UTF-8 bytes when it is not ASCII", () => {
    const body = '{"first_name":"Zoë 🦊 吉野"}';
    const signature = `sha256=${createHmac("sha256", Buffer.from(SECRET, "latin1")).update(bytes(body)).digest("hex")}`;
    expect(verify(body, signature, SECRET)).toBe(true);
    expect(verifySignature(Buffer.from(body, "latin1"), signature, [SECRET])).toBe(false);
  });

  it("need not be text at all", () => {
    const body = Uint8Array.from([0xff, 0x00, 0xfe, 0x80]);
    expect(verifySignature(body, sign(body, SECRET), [SECRET])).toBe(true);
  });
});

describe("a secret", () => {
  it("is accepted wherever it stands among several, so that a rotation loses nothing", () => {
    expect(verify(FIRST, FIRST_SIGNATURE, SECRET, OTHER_SECRET)).toBe(true);
    expect(verify(FIRST, FIRST_SIGNATURE, OTHER_SECRET, SECRET)).toBe(true);
    expect(verify(FIRST, FIRST_SIGNATURE, "", OTHER_SECRET, SECRET, "")).toBe(true);
  });

  it("is refused when it is another one, or when there is none", () => {
    expect(verify(FIRST, FIRST_SIGNATURE, OTHER_SECRET)).toBe(false);
    expect(verify(FIRST, FIRST_SIGNATURE)).toBe(false);
  });

  it("that is empty matches nothing, not even what was signed with it", () => {
    expect(verify(FIRST, sign(FIRST, ""), "")).toBe(false);
  });

  it("is the text itself: a key decoded from hexadecimal must not verify", () => {
    const decoded = createHmac("sha256", Buffer.from(SECRET, "hex")).update(FIRST).digest("hex");
    expect(verify(FIRST, `sha256=${decoded}`, SECRET)).toBe(false);
  });

  it("matters in its letter case", () => {
    expect(verify(FIRST, FIRST_SIGNATURE, SECRET.toUpperCase())).toBe(false);
  });
});

describe("a header", () => {
  const hex = FIRST_SIGNATURE.slice("sha256=".length);
  it.each([
    ["that is missing", undefined],
    ["that is empty", ""],
    ["with a prefix only", "sha256="],
    ["without a prefix", hex],
    ["with the prefix of another algorithm", `sha1=${hex}`],
    ["with a prefix in upper case", `SHA256=${hex}`],
    ["in the form of standard-webhooks", `v1,${Buffer.from(hex, "hex").toString("base64")}`],
    ["in base64", `sha256=${Buffer.from(hex, "hex").toString("base64")}`],
    ["in upper-case hexadecimal", `sha256=${hex.toUpperCase()}`],
    ["that is one digit short", `sha256=${hex.slice(0, -1)}`],
    ["that is one byte short", `sha256=${hex.slice(0, -2)}`],
    ["with half of the signature", `sha256=${hex.slice(0, 32)}`],
    ["that is one digit long", `sha256=${hex}0`],
    ["that is not hexadecimal", `sha256=${hex.slice(0, -1)}g`],
    ["with white space before", ` sha256=${hex}`],
    ["with white space after", `sha256=${hex} `],
    ["with a line break after", `sha256=${hex}\n`],
    ["with two signatures, the right one first", `sha256=${hex}, sha256=${"0".repeat(64)}`],
    ["with two signatures, the right one last", `sha256=${"0".repeat(64)},sha256=${hex}`],
    ["with the right one twice", `sha256=${hex}, sha256=${hex}`],
  ])("%s is refused", (_, header) => {
    expect(verify(FIRST, header, SECRET)).toBe(false);
  });
});
