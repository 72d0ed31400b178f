import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import { describe, expect, it, onTestFinished } from "vitest";
import { awsLimits } from "../functions/aws.ts";
import { Failure } from "../functions/core/failure.ts";
import { dynamoDbTable } from "../functions/ledger/dynamodb.ts";
import { createSqsQueue } from "../functions/queue/sqs.ts";

/** Takes connections and requests. It never answers, or breaks off within the answer. */
async function silentServer(answer = ""): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.write(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const credentials = { accessKeyId: "local", secretAccessKey: "local" };
const limits = awsLimits({ attempts: 1, requestMs: 100 });

describe("a request to AWS", () => {
  it.each([
    ["is never answered", ""],
    ["is answered in part", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"],
  ])("that %s ends, and its job waits for the next attempt", async (_, answer) => {
    const endpoint = await silentServer(answer);
    const config = { region: "eu-central-1", endpoint, credentials, ...limits };
    const [dynamodb, sqs] = [new DynamoDBClient(config), new SQSClient(config)];
    onTestFinished(() => {
      dynamodb.destroy();
      sqs.destroy();
    });
    const outcomes = await Promise.allSettled([
      dynamoDbTable(dynamodb, "ledger").get({ partition: "acme", sort: "subject#1" }),
      createSqsQueue(sqs, `${endpoint}/jobs.fifo`).setVisibility([{ receipt: "1", seconds: 30 }]),
    ]);
    const codes = outcomes.map((outcome) =>
      outcome.status === "rejected" && outcome.reason instanceof Failure
        ? `${outcome.reason.failureClass} ${outcome.reason.code}`
        : outcome,
    );
    expect(codes).toEqual(["transient ledger-unavailable", "transient queue-unavailable"]);
  });

  it("has an end in every function: none makes a client without limits", () => {
    const files = readdirSync("functions", { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".ts"),
    );
    const clients = files
      .filter((name) => !/^(?:cli|activity|setup|doctor|simulated)\//.test(name))
      .flatMap((name) => readFileSync(`functions/${name}`, "utf8").match(/new \w+Client\(.*\)/g) ?? []);
    expect(clients.length).toBeGreaterThan(6);
    expect(clients.filter((made) => !made.includes("awsLimits("))).toEqual([]);
  });
});
