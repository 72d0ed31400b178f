import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Office, openOffice } from "../support/office.ts";

describe("clavex-nextcloud console", () => {
  let office: Office;

  beforeAll(async () => {
    office = await openOffice();
  });
  afterAll(() => office.close());

  /** The browser's first visit: where it leads, and the cookie that it gets. */
  async function visit(link: string) {
    const answer = await fetch(link, { redirect: "manual" });
    return { status: answer.status, cookie: answer.headers.get("set-cookie")?.split(";")[0] ?? "" };
  }

  test("says what to do where no pipeline runs", async () => {
    expect(await office.command("console")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^no pipeline runs on the state folder .*: start it with "npm start", or name a --stage\n$/,
      ),
    });
  });

  test("prints a link to the running pipeline's pages, by a token that only its user can read and no log has", async () => {
    const pipeline = await office.start();
    const [one, other] = [await office.command("console"), await office.command("console", "--no-open")];
    const link = one.stdout.trim();
    expect(link).toMatch(new RegExp(`^${pipeline.adminUrl}/\\?token=[\\w-]{43}$`));
    expect(other.stdout.trim()).not.toBe(link);
    const { status, cookie } = await visit(link);
    expect(status).toBe(303);
    expect(await visit(link)).toMatchObject({ status: 401 });
    const page = await (await fetch(pipeline.adminUrl, { headers: { cookie } })).text();
    expect(page).toContain("<h1>Status</h1>");
    const person = office.person({ first_name: "Ada", last_name: "Lovelace" });
    const form = /name="form" value="([^"]+)"/.exec(page)?.[1] ?? "";
    const bring = await fetch(`${pipeline.adminUrl}/people/acme/${person.id}/bring`, {
      method: "POST",
      headers: { cookie, origin: pipeline.adminUrl },
      body: new URLSearchParams({ form }),
      redirect: "manual",
    });
    expect(bring.status).toBe(303);
    await pipeline.printed(/changed by console change="bring up to date" organization=acme/);
    const file = join(office.stateFolder, "console.json");
    const { token } = JSON.parse(await readFile(file, "utf8"));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    for (const secret of [token, link.split("=")[1], cookie.split("=")[1]])
      expect(pipeline.output()).not.toContain(secret);
    await office.stop();
    await expect(stat(file)).rejects.toMatchObject({ code: "ENOENT" });
  });
});
