import type { Context, MiddlewareHandler } from "hono";

/**
 * Answers only requests for a name that is ours: a page of another site whose name was pointed at this machine (DNS rebinding) is
 * still asked for by that name, and could read what a browser here may read.
 *
 * @param isOurs tells it of a host name or address, IPv6 in brackets
 * @param refusal what others are told
 */
export function onlyNamed(isOurs: (name: string) => boolean, refusal: string): MiddlewareHandler {
  return async (c, next) => {
    const host = hostOf(c);
    return host !== undefined && isOurs(host.hostname) ? next() : c.text(refusal, 421);
  };
}

/** By which host a request asks; undefined where its Host header says none. */
export function hostOf(c: Context): URL | undefined {
  const host = c.req.header("host") ?? "";
  // Only what can stand there: a URL would take more.
  return /^[\w.:[\]-]+$/.test(host) && URL.canParse(`http://${host}`) ? new URL(`http://${host}`) : undefined;
}
