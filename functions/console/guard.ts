import type { Context, MiddlewareHandler } from "hono";
import { hostOf, onlyNamed } from "../local/rebinding.ts";

/**
 * Headers of every answer: only our own files, nothing inline, no framing, no caching. The referrer goes
 * to ourselves only: with none at all, browsers send no Origin with forms.
 */
const HEADERS: Readonly<Record<string, string>> = {
  "Cache-Control": "no-store",
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Referrer-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
};

export const securityHeaders: MiddlewareHandler = async (c, next) => {
  await next();
  for (const [name, value] of Object.entries(HEADERS)) c.res.headers.set(name, value);
};

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

/**
 * Answers only requests for a name that is ours.
 *
 * @param names those beside the loopback's
 */
export function onlyOurHosts(names: readonly string[]): MiddlewareHandler {
  const known = new Set([...LOOPBACK, ...names.map((name) => name.toLowerCase())]);
  return onlyNamed((name) => known.has(name), "this is not the name of this console: see docs/console.md\n");
}

/**
 * Refuses other sites: changes come from our own pages, and other requests from there or from an address that somebody opened.
 *
 * @param browserUrl where browsers reach the console through a proxy, which may pass on another port in the Host header
 */
export function onlyOurOrigin(browserUrl: string | undefined): MiddlewareHandler {
  return async (c, next) => {
    const isReading = c.req.method === "GET" || c.req.method === "HEAD";
    const isForeign = isReading ? isForeignReading(c) : !isOwnOrigin(c, browserUrl);
    if (isForeign)
      return c.text("requests of other sites are refused; behind a proxy of your own: see docs/console.md\n", 403);
    return next();
  };
}

/** Whether a request came through the proxy at this address. */
export function isThrough(browserUrl: string | undefined, c: Context): browserUrl is string {
  return browserUrl !== undefined && hostOf(c)?.hostname === new URL(browserUrl).hostname;
}

/** Whether another site led here: then the browser keeps a strict cookie back until a page of ours leads on. */
export function isLedHere(c: Context): boolean {
  return !["none", "same-origin"].includes(c.req.header("sec-fetch-site") ?? "none");
}

function isForeignReading(c: Context): boolean {
  if (!isLedHere(c)) return false;
  // A link on another page: the cookie stays at home, so it leads to the question for a new link.
  return c.req.header("sec-fetch-mode") !== "navigate" || c.req.header("sec-fetch-dest") !== "document";
}

/** Every browser sends an Origin with a form that is posted. Through a proxy it is the one that was configured. */
function isOwnOrigin(c: Context, browserUrl: string | undefined): boolean {
  const origin = c.req.header("origin") ?? "";
  if (!URL.canParse(origin) || (c.req.header("sec-fetch-site") ?? "same-origin") !== "same-origin") return false;
  if (browserUrl !== undefined && new URL(origin).origin === new URL(browserUrl).origin) return true;
  // A proxy that nobody has configured may have taken off TLS: the scheme says nothing here.
  return new URL(origin).host === hostOf(c)?.host;
}
