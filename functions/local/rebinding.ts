import { isIP } from "node:net";
import type { MiddlewareHandler } from "hono";

/**
 * Answers only requests for an address, or a name that is ours: a page of another site whose name was pointed at this machine (DNS
 * rebinding) is still asked for by that name, and could read what a browser here may read.
 *
 * @param names those beside `localhost`
 */
export function onlyOurNames(names: readonly string[]): MiddlewareHandler {
  const known = new Set(["localhost", ...names.map((name) => name.toLowerCase())]);
  return async (c, next) => {
    const host = c.req.header("host") ?? "";
    const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
    if (known.has(name) || isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0) return next();
    return c.text("this is not the name of this port: see docs/one-machine.md\n", 421);
  };
}
