import { Hono } from "hono";
import type { Log } from "../telemetry/log.ts";
import { problemOf } from "../telemetry/problem.ts";
import type { Readiness } from "./readiness.ts";

export interface AdminOptions {
  readiness: () => Promise<Readiness>;
  metrics: () => Promise<string>;
  metricsType: string;
  log: Log;
}

/** What the admin port serves, to this machine alone and without a token: nothing in it is secret or names a person. */
export function createAdmin({ readiness, metrics, metricsType, log }: AdminOptions): Hono {
  const app = new Hono();
  app.get("/readyz", async (c) => {
    const { ready, lines } = await readiness();
    return c.text(lines.map((line) => `${line}\n`).join(""), ready ? 200 : 503);
  });
  app.get("/metrics", async (c) => c.body(await metrics(), 200, { "Content-Type": metricsType }));
  app.notFound((c) => c.text("not found: there are /readyz and /metrics\n", 404));
  app.onError((error, c) => {
    log.error("admin port failed", { path: c.req.path, ...problemOf(error) });
    return c.text("it failed; the log says why\n", 500);
  });
  return app;
}
