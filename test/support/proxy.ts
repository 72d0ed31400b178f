import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

/** A proxy with a login of its own, which passes on the name that it was asked for without the port, as nginx does. */
export interface LoginProxy {
  port: number;
  /** Where it passes requests on to; nothing before this is set. */
  to: string | undefined;
  close(): Promise<void>;
}

/** @param login what a browser has to send: user name and password */
export async function startProxy(login: { username: string; password: string }): Promise<LoginProxy> {
  const expected = `Basic ${btoa(`${login.username}:${login.password}`)}`;
  const server = createServer((incoming, outgoing) => {
    if (incoming.headers.authorization !== expected || proxy.to === undefined) {
      outgoing.writeHead(401, { "www-authenticate": 'Basic realm="console"' }).end();
      return;
    }
    const { authorization: _, ...rest } = incoming.headers;
    const headers = { ...rest, host: (rest.host ?? "").replace(/:\d+$/, "") };
    const onward = request(proxy.to + incoming.url, { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.writeHead(502).end());
    incoming.pipe(onward);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: LoginProxy = {
    port: (server.address() as AddressInfo).port,
    to: undefined,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
