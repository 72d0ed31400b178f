import { Failure, type Server } from "../core/failure.ts";
import { CircuitOpen } from "./circuit-breaker.ts";

/** What a server that accepts requests and does not answer may occupy. */
export interface SilenceLimits {
  /** How many jobs may go on waiting for it. */
  most: number;
  /** How long it is silent, in milliseconds, before they are counted. */
  afterMs: number;
}

/** A server, whoever uses it there. */
export interface Waited {
  server: Server;
  baseUrl: string;
}

/** Keeps silent servers from holding every slot of the process: jobs for other servers go on. */
export interface Silence {
  /**
   * Waits for a reading for as long as the server answers somebody, or few others wait. A reading that is given up goes on
   * unobserved: it changes nothing.
   *
   * @throws {CircuitOpen} for a job that goes back untried
   */
  wait<T>(waited: Waited, read: () => Promise<T>): Promise<T>;
}

export function createSilence({ most, afterMs }: SilenceLimits): Silence {
  const waiting = new Map<string, Set<symbol>>();
  const answeredAt = new Map<string, number>();

  return {
    async wait({ server, baseUrl }, read) {
      const key = `${server} ${baseUrl}`;
      const late = waiting.get(key) ?? new Set();
      waiting.set(key, late);
      if (late.size >= most) throw silent(server);
      const own = Symbol();
      let timer: NodeJS.Timeout | undefined;
      const givenUp = new Promise<never>((_, reject) => {
        const look = (): void => {
          const quietMs = performance.now() - (answeredAt.get(key) ?? Number.NEGATIVE_INFINITY);
          if (quietMs < afterMs) timer = setTimeout(look, afterMs - quietMs);
          else if (late.size < most) late.add(own);
          else reject(silent(server));
        };
        timer = setTimeout(look, afterMs);
      });
      try {
        const result = await Promise.race([read(), givenUp]);
        answeredAt.set(key, performance.now());
        return result;
      } finally {
        clearTimeout(timer);
        late.delete(own);
      }
    },
  };
}

const NAMES: Record<Server, string> = { clavex: "Clavex", nextcloud: "Nextcloud" };

function silent(server: Server): CircuitOpen {
  const message = `${NAMES[server]} does not answer, and enough jobs wait for it`;
  const scope = { server, harmful: false };
  return new CircuitOpen(new Failure("transient", `${server}-silent`, message, { scope, origin: server }), 0);
}
