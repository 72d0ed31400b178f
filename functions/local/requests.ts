import { subscribe, unsubscribe } from "node:diagnostics_channel";

/** A request that this process has sent. */
export interface SentRequest {
  /** The server's origin. */
  server: string;
  /** Of the answer; 0 when there was none, or it was cut. */
  status: number;
  seconds: number;
}

interface UndiciRequest {
  origin: string | URL;
}

/**
 * Watches the requests of the HTTP client, undici, which reports them on diagnostics channels: nothing in the clients has
 * to know.
 *
 * @returns a function that ends it
 */
export function watchRequests(onEnd: (request: SentRequest) => void): () => void {
  const underWay = new WeakMap<object, { started: number; status: number }>();
  const end = (request: UndiciRequest, status?: number): void => {
    const known = underWay.get(request);
    if (!known) return;
    underWay.delete(request);
    const seconds = (performance.now() - known.started) / 1000;
    onEnd({ server: String(request.origin), status: status ?? known.status, seconds });
  };
  type Told = { request: UndiciRequest; response?: { statusCode: number } };
  const listeners: Record<string, (told: Told) => void> = {
    "undici:request:create": ({ request }) => underWay.set(request, { started: performance.now(), status: 0 }),
    "undici:request:headers": ({ request, response }) => {
      const known = underWay.get(request);
      if (known) known.status = response?.statusCode ?? 0;
    },
    "undici:request:trailers": ({ request }) => end(request),
    "undici:request:error": ({ request }) => end(request, 0),
  };
  const told = Object.entries(listeners).map(
    ([name, listen]) => [name, (message: unknown) => listen(message as Told)] as const,
  );
  for (const [name, listen] of told) subscribe(name, listen);
  return () => {
    for (const [name, listen] of told) unsubscribe(name, listen);
  };
}
