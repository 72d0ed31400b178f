import { isIP } from "node:net";
import { Hono } from "hono";
import type { Log } from "../telemetry/log.ts";
import { problemOf } from "../telemetry/problem.ts";
import type { Readiness } from "./readiness.ts";
import { onlyNamed } from "./rebinding.ts";

export interface AdminOptions {
  readiness: () => Promise<Readiness>;
  metrics: () => Promise<string>;
  metricsType: string;
  /** The operator's pages, which let nobody in without a token of theirs. */
  pages?: Hono | undefined;
  /** The names that it is asked for by, beside addresses and `localhost`; undefined where it is open to other machines. */
  names?: readonly string[] | undefined;
  log: Log;
}

/** What the admin port serves: without a token only what is not secret and names nobody; everything else are the pages. */
export function createAdmin({ readiness, metrics, metricsType, pages, names, log }: AdminOptions): Hono {
  const app = new Hono();
  if (names) {
    const known = new Set(["localhost", ...names.map((name) => name.toLowerCase())]);
    const isOurs = (name: string) => known.has(name) || isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0;
    const guard = onlyNamed(isOurs, "this is not the name of this port: see docs/one-machine.md\n");
    for (const path of ["/readyz", "/metrics"]) app.use(path, guard);
  }
  app.get("/readyz", async (c) => {
    const { ready, lines } = await readiness();
    return c.text(lines.map((line) => `${line}\n`).join(""), ready ? 200 : 503);
  });
  app.get("/metrics", async (c) => c.body(await metrics(), 200, { "Content-Type": metricsType }));
  if (pages) app.route("/", pages);
  app.notFound((c) => c.text("not found: there are /readyz and /metrics\n", 404));
  app.onError((error, c) => {
    log.error("admin port failed", { path: c.req.path, ...problemOf(error) });
    return c.text("it failed; the log says why\n", 500);
  });
  return app;
}
