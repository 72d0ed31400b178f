import type { Message } from "@aws-sdk/client-sqs";
import type { APIGatewayProxyEventV2, SQSEvent } from "aws-lambda";

export interface HttpRequest {
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string;
  /** How API Gateway hands a body over that it considers binary. */
  base64?: boolean;
}

/** A request as an HTTP API hands it to a function, payload format 2.0. */
export function httpEvent({
  method = "POST",
  path,
  headers = {},
  body,
  base64 = false,
}: HttpRequest): APIGatewayProxyEventV2 {
  const routeKey = path === "/healthz" ? "ANY /healthz" : "ANY /webhooks/clavex/{organization}";
  const time = new Date();
  return {
    version: "2.0",
    routeKey,
    rawPath: path,
    rawQueryString: "",
    headers: {
      accept: "*/*",
      "content-length": String(Buffer.byteLength(body ?? "")),
      host: "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
      "user-agent": "Go-http-client/2.0",
      "x-amzn-trace-id": "Root=1-6a61f2c2-0b9d7d4e8f5b4f0e9a445a0d",
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-port": "443",
      "x-forwarded-proto": "https",
      ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    },
    pathParameters: { organization: path.split("/").at(-1) ?? "" },
    requestContext: {
      accountId: "000000000000",
      apiId: "a1b2c3d4e5",
      domainName: "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
      domainPrefix: "a1b2c3d4e5",
      http: { method, path, protocol: "HTTP/1.1", sourceIp: "203.0.113.7", userAgent: "Go-http-client/2.0" },
      requestId: "JKJaXmPLvHcESHA=",
      routeKey,
      stage: "$default",
      time: time.toUTCString(),
      timeEpoch: time.getTime(),
    },
    ...(body === undefined ? {} : { body: base64 ? Buffer.from(body).toString("base64") : body }),
    isBase64Encoded: base64,
  };
}

/** Messages of a queue as Lambda's event source mapping hands them to a function. */
export function sqsEvent(messages: Message[]): SQSEvent {
  return {
    Records: messages.map(({ MessageId = "", ReceiptHandle = "", Body = "", MD5OfBody = "", Attributes = {} }) => ({
      messageId: MessageId,
      receiptHandle: ReceiptHandle,
      body: Body,
      attributes: Attributes as unknown as SQSEvent["Records"][number]["attributes"],
      messageAttributes: {},
      md5OfBody: MD5OfBody,
      eventSource: "aws:sqs",
      eventSourceARN: "arn:aws:sqs:eu-central-1:000000000000:clavex-nextcloud-test-jobs.fifo",
      awsRegion: "eu-central-1",
    })),
  };
}
