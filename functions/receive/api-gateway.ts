import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";
import { SIGNATURE_HEADER } from "../clavex/signature.ts";

const SIGNATURE = SIGNATURE_HEADER.toLowerCase();
/** The methods that Fetch has no requests of; the receiver takes none of them either. */
const UNSPEAKABLE = new Set(["CONNECT", "TRACE", "TRACK"]);
/** What a header may hold: Fetch refuses other characters. */
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;

/**
 * A request as API Gateway hands it over (payload format 2.0), as far as the receiver looks at it: nobody can send one that
 * it has no answer to. Hono's own adapter writes an error to the log for each that Fetch refuses, such as a GET with a body.
 */
export function requestOf({
  rawPath,
  headers,
  body,
  isBase64Encoded,
  requestContext,
}: APIGatewayProxyEventV2): Request {
  const { method } = requestContext.http;
  const [, signature] = Object.entries(headers).find(([name]) => name.toLowerCase() === SIGNATURE) ?? [];
  return new Request(`https://receiver.invalid${rawPath}`, {
    method: UNSPEAKABLE.has(method) ? "OPTIONS" : method,
    // A signature that cannot be one is still there: it is refused as any wrong one.
    headers: signature === undefined ? {} : { [SIGNATURE_HEADER]: HEADER_VALUE.test(signature) ? signature : "" },
    body: method === "POST" && body !== undefined ? Buffer.from(body, isBase64Encoded ? "base64" : "utf8") : null,
  });
}

/** The receiver's answer as API Gateway takes it. */
export async function resultOf(response: Response): Promise<APIGatewayProxyStructuredResultV2> {
  const headers = Object.fromEntries(response.headers);
  return { statusCode: response.status, headers, body: await response.text(), isBase64Encoded: false };
}
