import { describe, expect, it } from "vitest";
import { settings } from "../../functions/config/environment.ts";
import { ConfigurationError } from "../../functions/core/failure.ts";

const ENVIRONMENT = { STAGE: "prod", QUEUE_URL: "https://sqs/queue", TABLE_NAME: "ledger", OTHER: "x" };

describe("the settings of a deployed function", () => {
  it("are those that it names, and no others", () => {
    expect(settings(["stage", "tableName"], ENVIRONMENT)).toEqual({ stage: "prod", tableName: "ledger" });
    expect(settings(["queueUrl"], ENVIRONMENT)).toEqual({ queueUrl: "https://sqs/queue" });
  });

  it("that are missing or empty are all named at once", () => {
    expect(() => settings(["stage", "queueUrl", "tableName"], { STAGE: "prod", QUEUE_URL: "" })).toThrow(
      expect.objectContaining({
        failureClass: "configuration",
        problems: [expect.stringContaining("QUEUE_URL"), expect.stringContaining("TABLE_NAME")],
      }),
    );
    expect(() => settings(["stage"], {})).toThrow(ConfigurationError);
  });
});
