import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ClavexKeyRefused } from "../../functions/clavex/errors.ts";
import type { OrganizationClients } from "../../functions/clients.ts";
import type { Directory, Person } from "../../functions/core/person.ts";
import { NextcloudServerError } from "../../functions/nextcloud/errors.ts";
import { driftReport } from "../../functions/reconcile/drift-report.ts";
import { useOrganizations } from "../support/organization.ts";
import { type Company, withPipeline } from "../support/pipeline.ts";

const { build } = useOrganizations();

interface Interference {
  /** Takes the place of the directory's list of people, once the details of accounts were asked for. */
  people?: (directory: Directory) => AsyncGenerator<Person[]>;
  /** What the first page of details waits for. */
  details?: Promise<unknown>;
  deadline?: AbortSignal;
}

async function employ(people: number): Promise<Company> {
  const company = withPipeline(await build());
  company.people(people, ["eng"]);
  await company.settle();
  return company;
}

/** A full look in which the directory waits for Nextcloud; says what was read of Nextcloud's lists. */
function lookAt(company: Company, { people, details, deadline }: Interference = {}) {
  const lists: string[] = [];
  const { organization, ledger, dependencies, clock } = company;
  const clients = dependencies.clients.of(organization);
  if (clients.directory.mode === "snapshots") throw new Error("it has an API key");
  const { directory } = clients.directory;
  const isAsked = () => lists.includes("cloud/users/details");
  const interfered: OrganizationClients = {
    ...clients,
    directory: {
      ...clients.directory,
      directory: {
        ...directory,
        async *people(unreadable) {
          while (!isAsked()) await setImmediate();
          yield* people?.(directory) ?? directory.people(unreadable);
        },
      },
    },
    ocs: {
      async call(method, path, ...rest) {
        if (/^cloud\/users(\/details)?$/.test(path)) lists.push(path);
        if (path === "cloud/users/details") await details;
        return clients.ocs.call(method, path, ...rest);
      },
    },
  };
  const looking = { ledger, clients: interfered, now: () => clock.now, ...(deadline ? { deadline } : {}) };
  return { report: driftReport(organization, "full", looking), lists };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await setImmediate();
}

describe("a full look reads both sides at once", () => {
  it("Nextcloud's lists are read while the directory has shown nobody yet, and each page once", async () => {
    const company = await employ(3);
    const { report, lists } = lookAt(company);
    expect(await report).toMatchObject({ people: 3, accounts: 3, differences: [], notes: [] });
    const [ids, details] = ["cloud/users", "cloud/users/details"];
    expect(lists).toEqual([ids, ids, details, details]);
  });

  it("a directory that fails ends the reading of Nextcloud, and what fails there afterwards comes nowhere", async () => {
    const company = await employ(3);
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", note);
    const details = Promise.withResolvers<void>();
    const refused = new ClavexKeyRefused("Clavex refuses the API key");
    // biome-ignore lint/correctness/useYield: it fails before its first page
    async function* people(): AsyncGenerator<Person[]> {
      throw refused;
    }
    const { report, lists } = lookAt(company, { people, details: details.promise });
    await expect(report).rejects.toBe(refused);
    details.reject(new NextcloudServerError(500, "GET cloud/users"));
    await settled();
    process.off("unhandledRejection", note);
    expect(lists.filter((path) => path === "cloud/users/details")).toHaveLength(1);
    expect(unhandled).toEqual([]);
  });

  it("the end of its time ends the reading of Nextcloud", async () => {
    const company = await employ(3);
    const [details, over] = [Promise.withResolvers<void>(), new AbortController()];
    async function* people(directory: Directory): AsyncGenerator<Person[]> {
      over.abort();
      yield* directory.people();
    }
    const { report, lists } = lookAt(company, { people, details: details.promise, deadline: over.signal });
    await expect(report).rejects.toMatchObject({ code: "reconcile-over-time" });
    details.resolve();
    await settled();
    expect(lists.filter((path) => path === "cloud/users/details")).toHaveLength(1);
  });

  it("Nextcloud failing before the directory was read fails the look, after the directory, and nobody is deprovisioned", async () => {
    const company = await employ(3);
    const seen: number[] = [];
    const down = new NextcloudServerError(500, "GET cloud/users");
    async function* people(directory: Directory): AsyncGenerator<Person[]> {
      await settled();
      for await (const page of directory.people()) {
        seen.push(page.length);
        yield page;
      }
    }
    const details = Promise.reject(down);
    details.catch(() => undefined);
    const { report } = lookAt(company, { people, details });
    await expect(report).rejects.toBe(down);
    expect([seen, company.sent]).toEqual([[3], []]);
  });

  it("an account whose person the ledger does not know is compared, in whichever order the two were read", async () => {
    const company = await employ(3);
    const stranger = company.person({ email: "stranger@acme.example" }, ["eng"]);
    company.logIn(stranger, { name: "Another Name", email: stranger.email });
    const { report, lists } = lookAt(company);
    expect(await report).toMatchObject({
      people: 4,
      accounts: 4,
      differences: [{ subject: stranger.id, kind: "update", actual: { displayName: "Another Name" } }],
    });
    expect(lists).toHaveLength(4);
  });
});
