import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** One call of the AWS SDK, in the words of IAM. */
export interface AwsCall {
  action: string;
  /** The queue's URL, the table's name, the parameter's name or path, or the function's name. */
  resource: string;
  /** Whose credentials signed it: the access key's id, and the session's token. */
  signedBy: string;
}

/** Stands between a function and the local services, and writes down what the function calls. */
export interface Recorder {
  url: string;
  calls: AwsCall[];
  close(): Promise<void>;
}

/** The batch calls of SQS need the permission for the single ones. */
const ACTION_OF: Record<string, string> = {
  SendMessageBatch: "SendMessage",
  DeleteMessageBatch: "DeleteMessage",
  ChangeMessageVisibilityBatch: "ChangeMessageVisibility",
};

/**
 * Starts it. Calls of SQS, DynamoDB and SSM are passed on to those who listen there; one of Lambda is only written down.
 *
 * @param targets where each service listens
 */
export async function startRecorder(targets: { sqs: string; dynamodb: string; ssm: string }): Promise<Recorder> {
  const calls: AwsCall[] = [];
  const services: Record<string, { name: "sqs" | "dynamodb" | "ssm"; resource: string[] }> = {
    AmazonSQS: { name: "sqs", resource: ["QueueUrl"] },
    DynamoDB_20120810: { name: "dynamodb", resource: ["TableName"] },
    AmazonSSM: { name: "ssm", resource: ["Name", "Path"] },
  };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const [, accessKeyId] = /Credential=([^/]+)/.exec(String(request.headers.authorization)) ?? [];
    const signedBy = `${accessKeyId} ${request.headers["x-amz-security-token"]}`;
    const [, invoked] = /^\/2015-03-31\/functions\/([^/]+)\/invocations$/.exec(request.url ?? "") ?? [];
    if (invoked !== undefined) {
      calls.push({ action: "lambda:InvokeFunction", resource: `${decodeURIComponent(invoked)} ${body}`, signedBy });
      response.writeHead(202).end();
      return;
    }
    const [target = "", operation = ""] = String(request.headers["x-amz-target"]).split(".");
    const service = services[target];
    if (!service) {
      response.writeHead(400).end(JSON.stringify({ __type: "UnknownOperationException" }));
      return;
    }
    const input = JSON.parse(body.toString("utf8")) as Record<string, unknown>;
    const resource = service.resource.map((name) => input[name]).find((value) => value !== undefined);
    calls.push({
      action: `${service.name}:${ACTION_OF[operation] ?? operation}`,
      resource: String(resource),
      signedBy,
    });
    const headers = Object.entries(request.headers).filter(([name]) =>
      /^(?:x-amz|content-type|authorization)/.test(name),
    );
    const answer = await fetch(`${targets[service.name]}${request.url}`, {
      method: request.method ?? "POST",
      headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
      body,
    });
    response.writeHead(answer.status, {
      "content-type": answer.headers.get("content-type") ?? "application/json",
      "x-amz-crc32": answer.headers.get("x-amz-crc32") ?? "",
    });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
