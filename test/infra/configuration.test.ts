import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigurationError } from "../../functions/core/failure.ts";
import { parseOrganization } from "../../functions/core/organization.ts";
import { settingsSchema } from "../../infra/settings.ts";
import { document, folderWith, synthesize } from "./synth.ts";

/** The problems that stop the synthesis. */
function problems(context: Record<string, unknown>): string[] {
  try {
    synthesize(context);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  throw new Error("nothing stopped the synthesis");
}

describe("organization files", () => {
  it("may be missing: the stack is made, with a notice", () => {
    const folder = join(folderWith({}), "missing");
    const { template, notices } = synthesize({ organizations: folder });
    template.resourceCountIs("AWS::SSM::Parameter", 0);
    expect(notices).toEqual([
      `no organization files in ${folder}: until there are some, the stage refuses every delivery`,
    ]);
  });

  it("are those of the stage's folder, and only *.json", () => {
    const organizations = folderWith({ "acme.json": document("acme"), "README.md": "not a document" });
    const { template, notices } = synthesize({ organizations });
    template.resourceCountIs("AWS::SSM::Parameter", 1);
    expect(notices).toEqual([]);
  });

  it("stop the synthesis with all errors of all files when they are wrong", () => {
    const organizations = folderWith({
      "a.json": "{ not JSON",
      "b.json": document("b", { groups: { managd: ["*"] }, identity: { scheme: "user_oidc", providerId: 0 } }),
      "c.json": document("c", {
        nextcloud: { baseUrl: "http://cloud.example.org", username: "x", password: "hunter2" },
      }),
      "d.json": document("same"),
      "e.json": document("same"),
    });
    const found = problems({ organizations });
    const inFile = (name: string) => found.filter((problem) => problem.startsWith(join(organizations, name)));
    expect(inFile("a.json")).toEqual([expect.stringContaining("is not JSON")]);
    expect(inFile("b.json")).toEqual([
      expect.stringContaining("identity.providerId"),
      expect.stringContaining('unknown key "managd"'),
    ]);
    expect(inFile("c.json")).toEqual([
      expect.stringContaining("nextcloud.baseUrl: must be https:"),
      expect.stringContaining("nextcloud.password: must be a reference, never a secret itself"),
    ]);
    expect(inFile("e.json").join()).toContain("slug same is also that of");
    // What is wrong about a secret is said without the secret.
    expect(found.join()).not.toContain("hunter2");
  });

  it("stop the synthesis, both named, when two of them could have accounts of the same id", () => {
    const clavex = { baseUrl: "https://id.elsewhere.example", webhookSecrets: ["ssm:primary"], apiKey: "ssm:key" };
    const organizations = folderWith({
      "acme.json": document("acme"),
      "beta.json": document("beta", { clavex }),
      "gamma.json": document("gamma", { clavex, identity: { scheme: "user_oidc", providerId: 2 } }),
    });
    expect(problems({ organizations })).toEqual(
      ["acme", "beta"].map((slug) => expect.stringContaining(`${slug}.json: identity: acme and beta could have`)),
    );
  });

  it("must take their secrets from SSM: variables of one machine are not there on AWS", () => {
    const organizations = folderWith({
      "acme.json": document("acme", {
        clavex: { baseUrl: "https://id.example.org", webhookSecrets: ["env:WEBHOOK_SECRET"] },
      }),
    });
    expect(problems({ organizations })).toEqual([expect.stringContaining('on AWS write "ssm:NAME"')]);
  });

  it("are refused over 8 KB, which is what a parameter holds; white space does not count", () => {
    const groups = (letters: number) => ({ groups: { always: ["x".repeat(letters)] } });
    const empty = JSON.stringify(document("acme", groups(0))).length;
    const largest = document("acme", groups(8192 - empty));
    const { template } = synthesize({
      organizations: folderWith({ "acme.json": `${" ".repeat(500)}${JSON.stringify(largest, null, 2)}` }),
    });
    template.resourceCountIs("AWS::SSM::Parameter", 1);
    const tooLarge = folderWith({ "acme.json": document("acme", groups(8193 - empty)) });
    expect(problems({ organizations: tooLarge })).toEqual([expect.stringContaining("is 8193 bytes")]);
  });

  it("may hold braces: nothing in them is a reference that SSM refuses or CloudFormation resolves", () => {
    const groups = { always: ["{{resolve:ssm-secure:/other/secret}}", "{{{x}}}"] };
    const { template } = synthesize({ organizations: folderWith({ "acme.json": document("acme", { groups }) }) });
    const [parameter] = Object.values(template.findResources("AWS::SSM::Parameter"));
    const value: string = parameter?.Properties.Value;
    expect(value).not.toContain("{{");
    expect(JSON.parse(value).groups).toEqual(groups);
    expect(parseOrganization({ source: "acme", text: value }, "ssm").organization?.groups.always).toEqual(
      groups.always,
    );
  });

  it("are not more than CloudFormation has outputs for", () => {
    const files = Array.from({ length: 151 }, (_, index) => [`${index}.json`, document(`org-${index}`)]);
    const distinct = files.map(([name, file], index) => [
      name,
      { ...(file as object), organizationId: `0b9d7d4e-8f5b-4f0e-9a44-${String(index).padStart(12, "0")}` },
    ]);
    const organizations = folderWith(Object.fromEntries(distinct));
    expect(problems({ organizations })).toEqual([expect.stringContaining("holds 151 organizations")]);
  });

  it("give different webhook URLs outputs of their own, however alike the slugs are", () => {
    const organizations = folderWith(
      Object.fromEntries(["ab", "a-b", "a--b", "adashb"].map((slug) => [`${slug}.json`, document(slug)])),
    );
    const outputs = Object.keys(synthesize({ organizations }).template.toJSON().Outputs);
    expect(outputs.filter((name) => name.startsWith("WebhookUrl"))).toHaveLength(4);
  });
});

describe("settings", () => {
  it("are refused all at once, unknown names included", () => {
    expect(
      problems({
        stage: "Prod",
        maxConcurrency: "1",
        lightMinutes: "often",
        logDays: "8",
        retain: "no",
        alarmEmail: "nobody",
        domainName: "hooks.acme.example",
        alarmemail: "admin@acme.example",
      }),
    ).toEqual([
      expect.stringMatching(/^setting stage: must be a-z/),
      "setting alarmEmail: must be an e-mail address",
      "setting maxConcurrency: must be a whole number from 2 to 1000",
      "setting lightMinutes: must be a whole number from 1 to 1440",
      expect.stringMatching(/^setting logDays: must be one of 1, 3/),
      "setting retain: must be true or false",
      "unknown setting alarmemail",
      "setting domainName: needs certificateArn, and the other way round",
    ]);
  });

  it("need a stage", () => {
    expect(problems({ stage: undefined })).toEqual(["setting stage: is missing: name the stage with -c stage=dev"]);
  });

  it("need a certificate with a domain name", () => {
    expect(problems({ domainName: "hooks.acme.example" })).toEqual([
      "setting domainName: needs certificateArn, and the other way round",
    ]);
  });

  it("can be kept per stage in a context file; a flag wins", () => {
    const stages = { test: { maxConcurrency: 7, logDays: 90 }, prod: { maxConcurrency: 20 } };
    const { template } = synthesize({ stages, logDays: "14" });
    template.hasResourceProperties("AWS::Lambda::EventSourceMapping", { ScalingConfig: { MaximumConcurrency: 7 } });
    template.allResourcesProperties("AWS::Logs::LogGroup", { RetentionInDays: 14 });
  });

  it("are all described in docs/deploy.md", () => {
    const text = readFileSync("docs/deploy.md", "utf8");
    for (const name of Object.keys(settingsSchema.shape)) expect(text).toContain(`\`${name}\``);
  });
});
