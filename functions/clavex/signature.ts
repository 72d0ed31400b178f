import { createHmac, timingSafeEqual } from "node:crypto";

const HEADER = /^sha256=([0-9a-f]{64})$/;

/** The name of the header that carries a delivery's signature. */
export const SIGNATURE_HEADER = "X-Clavex-Signature";

/**
 * The value of `X-Clavex-Signature` for a body: HMAC-SHA256 over the raw bytes; the key is the secret's text itself
 * (a 64-character hexadecimal text that is not decoded).
 */
export function sign(body: Uint8Array | string, secret: string): string {
  return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

/**
 * Whether a delivery was signed with one of the secrets. Several are accepted, because a rotation delivers every event
 * under the old and the new one. Takes the same time whichever secret matches.
 *
 * @param body the raw bytes as received; a retried body has other white space and key order, and is signed again
 * @param header the `X-Clavex-Signature` header, if there was one
 * @param secrets the organization's webhook secrets; empty ones never match
 */
export function verifySignature(body: Uint8Array, header: string | undefined, secrets: readonly string[]): boolean {
  const given = HEADER.exec(header ?? "");
  if (!given?.[1]) return false;
  const expected = Buffer.from(given[1], "hex");
  let valid = false;
  for (const secret of secrets) {
    if (secret === "") continue;
    const digest = createHmac("sha256", secret).update(body).digest();
    if (timingSafeEqual(digest, expected)) valid = true;
  }
  return valid;
}
