import { randomUUID } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import { findPerson } from "../../functions/cli/people.ts";
import { createClients } from "../../functions/clients.ts";
import { environmentSecrets } from "../../functions/config/secrets.ts";
import { startSimulatedClavex } from "../../functions/simulated/clavex.ts";
import { apiKeyOf, environmentOf, organizationOf } from "../core/organization.ts";

const organizationId = randomUUID();
const clavex = await startSimulatedClavex({
  organizations: [{ id: organizationId, slug: "acme", apiKey: apiKeyOf("acme") }],
});
const clients = createClients({ secrets: environmentSecrets(environmentOf("", "acme")), nextcloudConnections: 1 });
const servers = { clavex, nextcloud: { url: "https://nextcloud.acme.example", username: "provisioner" } };
const access = clients.of(organizationOf({ organizationId }, servers)).directory;
if (access.mode !== "api") throw new Error("the organization has an API key");
const { directory } = access;
afterAll(async () => {
  await clients.close();
  await clavex.close();
});
const add = (email: string) => clavex.addUser("acme", { id: randomUUID(), email, first_name: "Ada", last_name: "L" });

describe("a person on the command line", () => {
  it("is found by e-mail address in any letter case, and by the whole of it", async () => {
    const ada = add("ada@acme.example");
    add("not-ada@acme.example.org");
    expect(await findPerson(directory, " ADA@acme.example ")).toMatchObject({
      subject: ada.id,
      person: { email: ada.email },
    });
    expect(await findPerson(directory, ada.id.toUpperCase())).toMatchObject({ subject: ada.id });
  });

  it("of several with the same address, the ids are named", async () => {
    const twins = [add("twin@acme.example"), add("Twin@acme.example")].map(({ id }) => id);
    const error = await findPerson(directory, "twin@acme.example").catch(({ message }) => message);
    expect(error).toMatch(/^--user: several people have the e-mail address twin@acme\.example/);
    for (const id of twins) expect(error).toContain(id);
  });

  it("nobody is nobody, and says so with the address", async () => {
    await expect(findPerson(directory, "acme@acme.example")).rejects.toThrow(
      "--user: Clavex has nobody with the e-mail address acme@acme.example; of somebody who is gone, give the subject (UUID)",
    );
    const gone = randomUUID();
    expect(await findPerson(directory, gone)).toEqual({ subject: gone, person: undefined });
  });
});
