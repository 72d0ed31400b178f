import {
  DeleteParameterCommand,
  GetParameterCommand,
  ParameterNotFound,
  PutParameterCommand,
  SSMClient,
} from "@aws-sdk/client-ssm";
import { mockClient } from "aws-sdk-client-mock";
import { beforeEach, expect, it } from "vitest";
import { parameterStore } from "../../functions/setup/parameter-store.ts";

const ssm = mockClient(SSMClient);
const store = parameterStore(new SSMClient({ region: "eu-central-1" }), "prod", "acme");

beforeEach(() => ssm.reset());

it("puts secrets where the references of the organization's file lead, encrypted", async () => {
  ssm.on(PutParameterCommand).resolves({});
  await store.write("webhook", "secret");
  await store.write("apiKey", "key");
  expect(ssm.commandCalls(PutParameterCommand).map(({ args }) => args[0].input)).toEqual([
    {
      Name: "/clavex-nextcloud/prod/secrets/acme/webhook/primary",
      Value: "secret",
      Type: "SecureString",
      Overwrite: true,
    },
    {
      Name: "/clavex-nextcloud/prod/secrets/acme/api/clavex-api-key",
      Value: "key",
      Type: "SecureString",
      Overwrite: true,
    },
  ]);
  expect([store.reference("webhook"), store.reference("apiKey")]).toEqual(["ssm:primary", "ssm:clavex-api-key"]);
});

it("reads them decrypted; one that is missing is no error", async () => {
  ssm.on(GetParameterCommand).resolves({ Parameter: { Value: "secret" } });
  expect(await store.read("webhook")).toBe("secret");
  expect(ssm.commandCalls(GetParameterCommand)[0]?.args[0].input.WithDecryption).toBe(true);
  const missing = new ParameterNotFound({ message: "", $metadata: {} });
  ssm.on(GetParameterCommand).rejects(missing).on(DeleteParameterCommand).rejects(missing);
  expect(await store.read("webhook")).toBeUndefined();
  await store.remove("webhook");
});

it("says when a parameter may not be written, without the secret", async () => {
  ssm.on(PutParameterCommand).rejects(Object.assign(new Error("denied"), { name: "AccessDeniedException" }));
  const failure = await store.write("webhook", "a-secret").catch((error) => error);
  expect(failure).toMatchObject({ code: "secret-not-kept", message: expect.stringMatching(/AccessDeniedException/) });
  expect(failure.message).not.toContain("a-secret");
});
