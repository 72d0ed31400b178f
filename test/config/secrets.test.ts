import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SecretUnreadable } from "../../functions/config/errors.ts";
import { parameterSecrets, secretParameter } from "../../functions/config/secret-parameters.ts";
import { environmentSecrets, type Secrets } from "../../functions/config/secrets.ts";
import { Failure } from "../../functions/core/failure.ts";
import { type Organization, parseOrganization } from "../../functions/core/organization.ts";
import { type ParameterStore, startParameterStore } from "../support/ssm.ts";

const [FIRST, SECOND, THIRD] = ["1".repeat(64), "2".repeat(64), "3".repeat(64)];
const MINUTE = 60_000;

function organizationOf(webhookSecrets: string[], slug = "acme"): Organization {
  const scheme = webhookSecrets[0]?.startsWith("env:") ? "env" : "ssm";
  const document = {
    slug,
    organizationId: "0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10",
    clavex: { baseUrl: "https://id.acme.eu", webhookSecrets, apiKey: `${scheme}:key` },
    nextcloud: { baseUrl: "https://nextcloud.acme.eu", username: "provisioner", password: `${scheme}:password` },
    identity: { providerId: 1 },
  };
  const { organization, problems } = parseOrganization({ source: "test", text: JSON.stringify(document) }, scheme);
  if (!organization) throw new Error(problems?.join());
  return organization;
}

describe("secrets in SSM", () => {
  const PRIMARY = "/clavex-nextcloud/prod/secrets/acme/webhook/primary";
  const SECONDARY = "/clavex-nextcloud/prod/secrets/acme/webhook/secondary";
  const KEY = "/clavex-nextcloud/prod/secrets/acme/api/key";
  const acme = organizationOf(["ssm:primary"]);
  const rotating = organizationOf(["ssm:primary", "ssm:secondary"]);
  let store: ParameterStore;
  let clock: number;
  let secrets: Secrets;

  beforeEach(async () => {
    store = await startParameterStore();
    clock = 1_000_000;
    secrets = parameterSecrets(store.client, "prod", () => clock);
    store.put(PRIMARY, FIRST, "SecureString");
    store.put(KEY, "clv_first", "SecureString");
  });
  afterEach(() => store.close());

  it("are read decrypted, from below the stage, the organization and the kind", async () => {
    expect(await secrets.webhook(acme)).toEqual([FIRST]);
    expect(await secrets.api(acme, "ssm:key")).toBe("clv_first");
    expect(store.calls).toEqual([`GetParameter ${PRIMARY}`, `GetParameter ${KEY}`]);
  });

  it("of one organization, stage or kind are no others'", async () => {
    store.put("/clavex-nextcloud/prod/secrets/other/webhook/primary", SECOND, "SecureString");
    store.put("/clavex-nextcloud/test/secrets/acme/webhook/primary", THIRD, "SecureString");
    expect(await secrets.webhook(organizationOf(["ssm:primary"], "other"))).toEqual([SECOND]);
    expect(await parameterSecrets(store.client, "test").webhook(acme)).toEqual([THIRD]);
    expect(await secrets.webhook(acme)).toEqual([FIRST]);
    await expect(secrets.api(acme, "ssm:primary")).rejects.toBeInstanceOf(SecretUnreadable);
  });

  it("have a name that a reference cannot bend", () => {
    expect(secretParameter("prod", "acme", "api", "ssm:..")).toBe("/clavex-nextcloud/prod/secrets/acme/api/..");
  });

  it("are kept for five minutes, each for itself", async () => {
    for (const minutes of [0, 1, 4.99]) {
      clock = 1_000_000 + minutes * MINUTE;
      await secrets.webhook(acme);
      await secrets.api(acme, "ssm:key");
    }
    expect(store.calls).toHaveLength(2);
    store.put(PRIMARY, SECOND, "SecureString");
    store.put(KEY, "clv_second", "SecureString");
    clock = 1_000_000 + 5 * MINUTE;
    expect(await secrets.webhook(acme)).toEqual([FIRST]);
    clock += 1;
    expect(await secrets.webhook(acme)).toEqual([SECOND]);
    expect(await secrets.api(acme, "ssm:key")).toBe("clv_second");
    expect(store.calls).toHaveLength(4);
  });

  it("are read once for many who ask at the same time", async () => {
    await Promise.all(Array.from({ length: 50 }, () => secrets.webhook(rotating).catch(() => undefined)));
    expect(store.calls.toSorted()).toEqual([`GetParameter ${PRIMARY}`, `GetParameter ${SECONDARY}`]);
  });

  it("are read anew when they must be newer than what is kept, and only then", async () => {
    await secrets.webhook(acme);
    store.put(PRIMARY, SECOND, "SecureString");
    expect(await secrets.webhook(acme, clock)).toEqual([FIRST]);
    clock += 1;
    expect(await secrets.webhook(acme, clock)).toEqual([SECOND]);
    expect(await secrets.webhook(acme)).toEqual([SECOND]);
    expect(store.calls).toHaveLength(2);
  });

  it("several are all accepted, and one that is missing does not harm the others", async () => {
    expect(await secrets.webhook(rotating)).toEqual([FIRST]);
    store.put(SECONDARY, SECOND, "SecureString");
    clock += 6 * MINUTE;
    expect(await secrets.webhook(rotating)).toEqual([FIRST, SECOND]);
    store.delete(PRIMARY);
    clock += 6 * MINUTE;
    expect(await secrets.webhook(rotating)).toEqual([SECOND]);
  });

  // Each delivery asks for the secrets, forged ones too: SSM would throttle.
  it("one that is missing is not asked for again at every delivery", async () => {
    for (let delivery = 0; delivery < 20; delivery += 1) await secrets.webhook(rotating);
    expect(store.calls.filter((call) => call.endsWith("/secondary")).length).toBeLessThan(5);
  });

  it("that are missing, all of them, are a configuration failure that says where to put them", async () => {
    store.delete(PRIMARY);
    const failure = await secrets.webhook(rotating).catch((error) => error);
    expect(failure).toBeInstanceOf(SecretUnreadable);
    expect(failure).toMatchObject({ failureClass: "configuration", message: expect.stringContaining(PRIMARY) });
    expect(failure.fix).toContain(PRIMARY);
    await expect(secrets.api(acme, "ssm:nothing")).rejects.toBeInstanceOf(SecretUnreadable);
  });

  it("that are put there later are found at the next try", async () => {
    store.delete(PRIMARY);
    await expect(secrets.webhook(acme)).rejects.toBeInstanceOf(SecretUnreadable);
    store.put(PRIMARY, FIRST, "SecureString");
    clock += MINUTE;
    expect(await secrets.webhook(acme)).toEqual([FIRST]);
  });

  it.each([
    ["empty", ""],
    ["one character short", "x".repeat(31)],
  ])("that are %s are no webhook secrets, and are not printed", async (_, value) => {
    store.put(PRIMARY, value, "SecureString");
    const failure = await secrets.webhook(acme).catch((error) => error);
    expect(failure).toBeInstanceOf(SecretUnreadable);
    if (value !== "") expect(`${failure.message} ${failure.fix}`).not.toContain(value);
    store.put(SECONDARY, SECOND, "SecureString");
    expect(await secrets.webhook(rotating, clock + 1)).toEqual([SECOND]);
  });

  it("that are too short say in which parameter they are", async () => {
    store.put(PRIMARY, "short", "SecureString");
    const failure = await secrets.webhook(acme).catch((error) => error);
    expect(failure.message).toContain(PRIMARY);
    expect(failure.fix).toContain(PRIMARY);
  });

  it("of 32 characters are long enough; an API key may have any length but none", async () => {
    store.put(PRIMARY, "x".repeat(32), "SecureString");
    expect(await secrets.webhook(acme)).toEqual(["x".repeat(32)]);
    store.put(KEY, "k", "SecureString");
    expect(await secrets.api(acme, "ssm:key")).toBe("k");
    store.put(KEY, "", "SecureString");
    clock += 6 * MINUTE;
    await expect(secrets.api(acme, "ssm:key")).rejects.toBeInstanceOf(SecretUnreadable);
  });

  describe("while SSM is out of order", () => {
    it.each([
      ["throttled", { code: "ThrottlingException", status: 400 }],
      ["failing", { code: "InternalServerError", status: 500 }],
    ])("(%s) stay as they were read last, for as long as it takes", async (_, fault) => {
      await secrets.webhook(acme);
      await secrets.api(acme, "ssm:key");
      store.fault = fault;
      for (const minutes of [6, 60, 6000]) {
        clock = 1_000_000 + minutes * MINUTE;
        expect(await secrets.webhook(acme)).toEqual([FIRST]);
        expect(await secrets.webhook(acme, clock)).toEqual([FIRST]);
        expect(await secrets.api(acme, "ssm:key")).toBe("clv_first");
      }
      store.fault = undefined;
      store.put(PRIMARY, SECOND, "SecureString");
      clock += 6 * MINUTE;
      expect(await secrets.webhook(acme)).toEqual([SECOND]);
    });

    it("(unreachable) stay as they were read last", async () => {
      await secrets.webhook(acme);
      await store.close();
      clock += 6 * MINUTE;
      expect(await secrets.webhook(acme)).toEqual([FIRST]);
    });

    it("and were never read, are to be tried again", async () => {
      store.fault = { code: "ThrottlingException", status: 400 };
      await expect(secrets.webhook(acme)).rejects.toMatchObject({ failureClass: "transient" });
      store.fault = undefined;
      clock += MINUTE;
      expect(await secrets.webhook(acme)).toEqual([FIRST]);
    });

    it("and were never read, are asked for again in time for the third attempt of Clavex's first burst", async () => {
      store.fault = { code: "ThrottlingException", status: 400 };
      const answer = () => secrets.webhook(acme).catch((error) => error.code);
      const asked = store.calls.length;
      expect(await answer()).toBe("parameters-unavailable");
      // A second after that answer, and four seconds after the next.
      clock += 1_000;
      expect(await answer()).toBe("parameters-unavailable");
      expect(store.calls.length - asked).toBe(1);
      store.fault = undefined;
      clock += 4_000 - 1;
      expect(await answer()).toEqual([FIRST]);
    });

    it("by permission, are a configuration failure and no longer served", async () => {
      await secrets.api(acme, "ssm:key");
      store.fault = { code: "AccessDeniedException", status: 400 };
      clock += 6 * MINUTE;
      const failure = await secrets.api(acme, "ssm:key").catch((error) => error);
      expect(failure).toBeInstanceOf(Failure);
      expect(failure).toMatchObject({ failureClass: "configuration", fix: expect.any(String) });
    });
  });

  it("that were deleted are no longer served, not even when SSM fails afterwards", async () => {
    await secrets.webhook(acme);
    store.delete(PRIMARY);
    expect(await secrets.webhook(acme)).toEqual([FIRST]);
    clock += 6 * MINUTE;
    await expect(secrets.webhook(acme)).rejects.toBeInstanceOf(SecretUnreadable);
    store.fault = { code: "InternalServerError", status: 500 };
    clock += 6 * MINUTE;
    await expect(secrets.webhook(acme)).rejects.toMatchObject({ failureClass: "transient" });
  });

  it("are in no message of a failure", async () => {
    await secrets.webhook(acme);
    const messages: string[] = [];
    for (const code of ["AccessDeniedException", "ParameterNotFound"]) {
      store.fault = { code, status: 400 };
      clock += 6 * MINUTE;
      const failure = await secrets.webhook(acme).catch((error) => error);
      messages.push(failure.message, failure.fix);
    }
    expect(messages).toHaveLength(4);
    expect(messages.join()).not.toContain(FIRST);
  });
});

describe("secrets in environment variables", () => {
  const acme = organizationOf(["env:PRIMARY", "env:SECONDARY"]);

  it("are those that are set, as they are now", async () => {
    const environment: Record<string, string | undefined> = { PRIMARY: FIRST };
    const secrets = environmentSecrets(environment);
    expect(await secrets.webhook(acme)).toEqual([FIRST]);
    environment.SECONDARY = SECOND;
    expect(await secrets.webhook(acme)).toEqual([FIRST, SECOND]);
    environment.key = "clv_first";
    expect(await secrets.api(acme, "env:key")).toBe("clv_first");
  });

  it.each([
    [{}],
    [{ PRIMARY: "" }],
    [{ PRIMARY: "too short" }],
  ])("fail by name when there is none in %j", async (set) => {
    const failure = await environmentSecrets(set)
      .webhook(acme)
      .catch((error) => error);
    expect(failure).toBeInstanceOf(SecretUnreadable);
    expect(failure.message).toContain("PRIMARY");
    expect(failure.message).not.toContain("too short");
  });
});
