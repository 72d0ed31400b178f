import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs";

/** A small CloudWatch Logs on this machine, reached through the real AWS SDK. */
export interface Logs {
  readonly client: CloudWatchLogsClient;
  readonly url: string;
  /** The time ranges that were asked for, and the patterns. */
  readonly asked: { group: string; from: number; to: number; pattern: string }[];
  /** A line of a log group; anything but text is written as JSON. */
  put(group: string, at: number, line: unknown): void;
  /** From now on every call fails with this AWS error code, until it is undefined. */
  fault: string | undefined;
  close(): Promise<void>;
}

const PAGE = 2;

/**
 * Starts it. As CloudWatch does, it gives the events of a range from the oldest on, page by page, and now and then an empty page;
 * patterns are left to whoever reads: they may only leave out what is not meant.
 */
export async function startLogs(): Promise<Logs> {
  const events: { group: string; eventId: string; timestamp: number; message: string }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const { logGroupName, startTime, endTime, filterPattern, nextToken } = JSON.parse(body);
    const answer = (status: number, value: unknown): void => {
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(value));
    };
    if (logs.fault !== undefined) return answer(400, { __type: logs.fault, message: "as the test wants it" });
    if (nextToken === undefined)
      logs.asked.push({ group: logGroupName, from: startTime, to: endTime, pattern: filterPattern });
    const found = events
      .filter((each) => each.group === logGroupName && each.timestamp >= startTime && each.timestamp <= endTime)
      .sort((a, b) => a.timestamp - b.timestamp);
    if (nextToken === undefined && found.length > 0) return answer(200, { events: [], nextToken: "0" });
    const start = Number(nextToken ?? 0);
    const next = start + PAGE < found.length ? { nextToken: String(start + PAGE) } : {};
    answer(200, { events: found.slice(start, start + PAGE), ...next });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = { accessKeyId: "local", secretAccessKey: "local" };
  const client = new CloudWatchLogsClient({ endpoint: url, region: "eu-central-1", credentials, maxAttempts: 1 });
  const logs: Logs = {
    client,
    url,
    asked: [],
    put(group, timestamp, line) {
      const message = typeof line === "string" ? line : JSON.stringify(line);
      events.push({ group, eventId: String(events.length), timestamp, message });
    },
    fault: undefined,
    close() {
      client.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return logs;
}
