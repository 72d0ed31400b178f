import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

/** How an invocation ended: what the handler returned, or what it threw. */
export type Invocation = { value: unknown; error?: never } | { error: LambdaError; value?: never };

export interface LambdaError {
  errorType: string;
  errorMessage: string;
  stackTrace: string[];
}

/** A function that runs in a process of its own, as on Lambda. */
export interface Lambda {
  /** Runs it once. Rejects when the handler cannot even be loaded. */
  invoke(event: unknown): Promise<Invocation>;
  /** All that it has written to stdout and stderr: its log. */
  log(): string;
  stop(): Promise<void>;
}

export interface LambdaOptions {
  name: string;
  /** The folder that is deployed: all the code there is. */
  code: string;
  handler: string;
  environment: Record<string, string>;
  timeoutSeconds: number;
}

/** The function's credentials, which Lambda puts into its environment. */
export const CREDENTIALS = { accessKeyId: "ASIAEXAMPLE", sessionToken: "session-token" } as const;

const BOOTSTRAP = fileURLToPath(new URL("bootstrap.ts", import.meta.url));

interface Waiting {
  id: string;
  event: unknown;
  settle: (invocation: Invocation) => void;
}

/** Starts a function behind a server that speaks the Lambda Runtime API (2018-06-01). */
export async function startLambda(options: LambdaOptions): Promise<Lambda> {
  const queued: Waiting[] = [];
  const running = new Map<string, Waiting>();
  let broken: LambdaError | undefined;
  let wake = (): void => undefined;

  const settle = (id: string, invocation: Invocation): void => {
    running.get(id)?.settle(invocation);
    running.delete(id);
  };
  const server = createServer(async (request, response) => {
    const [, id = "", action] =
      /^\/2018-06-01\/runtime\/invocation\/([^/]+)(?:\/(\w+))?$/.exec(request.url ?? "") ?? [];
    if (id === "next") {
      while (queued.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const next = queued.shift() as Waiting;
      running.set(next.id, next);
      const headers = {
        "content-type": "application/json",
        "lambda-runtime-aws-request-id": next.id,
        "lambda-runtime-deadline-ms": String(Date.now() + options.timeoutSeconds * 1000),
        "lambda-runtime-invoked-function-arn": `arn:aws:lambda:eu-central-1:000000000000:function:${options.name}`,
      };
      response.writeHead(200, headers).end(JSON.stringify(next.event));
      return;
    }
    const body = await readJson(request);
    if (action === "response") settle(id, { value: body });
    else if (action === "error") settle(id, { error: body as LambdaError });
    else {
      broken = body as LambdaError;
      for (const waiting of [...queued, ...running.values()]) waiting.settle({ error: broken });
    }
    response.writeHead(202).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  // Nothing of this process's environment goes along: no credentials, no proxies, no paths to the repository's packages.
  const child = spawn(process.execPath, [BOOTSTRAP], {
    cwd: options.code,
    env: {
      AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      LAMBDA_TASK_ROOT: options.code,
      _HANDLER: options.handler,
      AWS_LAMBDA_FUNCTION_NAME: options.name,
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_SESSION_TOKEN: CREDENTIALS.sessionToken,
      ...options.environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
  const ended = once(child, "close");

  return {
    async invoke(event) {
      const invocation = await new Promise<Invocation>((resolve, reject) => {
        if (broken) return resolve({ error: broken });
        queued.push({ id: randomUUID(), event, settle: resolve });
        wake();
        void ended.then(() => reject(new Error(`the function's process ended:\n${log}`)));
      });
      if (broken)
        throw new Error(`the handler cannot be loaded: ${broken.errorMessage}\n${broken.stackTrace.join("\n")}`);
      return invocation;
    },
    log: () => log,
    async stop() {
      child.kill();
      await ended;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}
