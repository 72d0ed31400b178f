import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { SSMClient } from "@aws-sdk/client-ssm";

/** A small SSM Parameter Store on this machine, reached through the real AWS SDK. */
export interface ParameterStore {
  readonly client: SSMClient;
  readonly url: string;
  /** Every call so far: `GetParameter NAME`, `GetParametersByPath PATH`; empty it with `calls.length = 0`. */
  readonly calls: string[];
  put(name: string, value: string, type?: "String" | "SecureString"): void;
  delete(name: string): void;
  /** From now on every call fails like this (an AWS error code), or hangs, until it is set to undefined. */
  fault: { code: string; status: number } | "hang" | undefined;
  close(): Promise<void>;
}

const PAGE = 10;

/**
 * Starts the store. As SSM does, it gives ten parameters a page, may give an empty page before the last one, shows only
 * direct children of a path, and decrypts only when asked to.
 */
export async function startParameterStore(): Promise<ParameterStore> {
  const parameters = new Map<string, { value: string; type: "String" | "SecureString" }>();
  const calls: string[] = [];

  const shown = (name: string, decrypt: unknown): Record<string, unknown> | undefined => {
    const found = parameters.get(name);
    if (!found) return undefined;
    const readable = found.type === "String" || decrypt === true;
    return { Name: name, Type: found.type, Value: readable ? found.value : "ciphertext", Version: 1 };
  };

  const operations: Record<string, (input: Record<string, unknown>) => unknown> = {
    GetParameter: ({ Name, WithDecryption }) => {
      const parameter = shown(String(Name), WithDecryption);
      return parameter && { Parameter: parameter };
    },
    GetParameters: ({ Names, WithDecryption }) => {
      const names = Names as string[];
      const found = names.flatMap((name) => shown(name, WithDecryption) ?? []);
      return { Parameters: found, InvalidParameters: names.filter((name) => !parameters.has(name)) };
    },
    GetParametersByPath: ({ Path, NextToken, WithDecryption }) => {
      const path = String(Path).replace(/\/*$/, "/");
      const names = [...parameters.keys()].filter(
        (name) => name.startsWith(path) && !name.slice(path.length).includes("/"),
      );
      if (names.length > PAGE && NextToken === undefined) return { Parameters: [], NextToken: "0" };
      const start = Number(NextToken ?? 0);
      const next = start + PAGE < names.length ? { NextToken: String(start + PAGE) } : {};
      return { Parameters: names.slice(start, start + PAGE).map((name) => shown(name, WithDecryption)), ...next };
    },
  };

  const server = createServer(async (request, response) => {
    const operation = String(request.headers["x-amz-target"]).replace("AmazonSSM.", "");
    const input = await readJson(request);
    calls.push(`${operation} ${input.Name ?? input.Path ?? input.Names}`);
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(body));
    };
    const { fault } = store;
    if (fault === "hang") return;
    if (fault) return answer(fault.status, { __type: fault.code, message: "as the test wants it" });
    const result = operations[operation]?.(input);
    if (result === undefined) return answer(400, { __type: "ParameterNotFound", message: "" });
    answer(200, result);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new SSMClient({
    endpoint: url,
    region: "eu-central-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    maxAttempts: 1,
  });

  const store: ParameterStore = {
    client,
    url,
    calls,
    fault: undefined,
    put: (name, value, type = "String") => {
      parameters.set(name, { value, type });
    },
    delete: (name) => {
      parameters.delete(name);
    },
    close: () => {
      client.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return store;
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString("utf8")) as Record<string, unknown>;
}
