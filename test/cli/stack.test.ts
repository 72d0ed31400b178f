import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { stackOutputs } from "../../functions/cli/stack.ts";

/** A CloudFormation that refuses every request with the code that the stage is called after. */
function startRefusal(): Server {
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    request.on("end", () => {
      const stage = new URLSearchParams(body).get("StackName")?.replace("clavex-nextcloud-", "") ?? "";
      response.writeHead(403, { "content-type": "text/xml" });
      response.end(
        `<ErrorResponse><Error><Type>Sender</Type><Code>${CODES[stage]}</Code><Message>Refused.</Message></Error></ErrorResponse>`,
      );
    });
  });
  return server.listen(0, "127.0.0.1");
}

const CODES: Record<string, string> = {
  expired: "ExpiredToken",
  old: "RequestExpired",
  strange: "InvalidClientTokenId",
  wrong: "SignatureDoesNotMatch",
  forbidden: "AccessDenied",
  other: "SomethingElse",
};

describe("the stack of a stage", () => {
  let server: Server;
  beforeAll(async () => {
    server = startRefusal();
    await once(server, "listening");
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  beforeEach(() => {
    vi.stubEnv("AWS_REGION", "eu-central-1");
    vi.stubEnv("AWS_ACCESS_KEY_ID", "test");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "test");
    vi.stubEnv("AWS_ENDPOINT_URL_CLOUDFORMATION", `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test.each([
    ["expired", /^the AWS credentials have expired: .*log in/],
    ["old", /^the AWS credentials have expired: .*log in/],
    ["strange", /^AWS does not know the credentials \(InvalidClientTokenId\): .*log in/],
    ["wrong", /^AWS does not know the credentials \(SignatureDoesNotMatch\): .*log in/],
    ["forbidden", /^these AWS credentials may not look at the stack clavex-nextcloud-forbidden: .*log in/],
    ["other", /^the stack clavex-nextcloud-other in the region eu-central-1 cannot be read \(SomethingElse\)$/],
  ])("that AWS refuses to show is told in one sentence that says what to do: %s", async (stage, sentence) => {
    await expect(stackOutputs(stage)).rejects.toThrow(sentence);
  });

  test.each([
    "Prod",
    "prod/../dev",
    "",
    "a".repeat(21),
  ])("is not asked for where %j is no stage's name", async (stage) => {
    await expect(stackOutputs(stage)).rejects.toThrow(`--stage ${stage}: must be a-z, 0-9 and -`);
  });
});
