import { type Check, ok, type Result, runChecks, skipped } from "./check.ts";
import { clavexChecks } from "./clavex.ts";
import type { DoctorContext } from "./context.ts";
import { nextcloudChecks } from "./nextcloud.ts";

/** One page is enough to see that the key is taken: doctor reads everybody. */
const keyCheck: Check = {
  id: "clavex.api-key",
  title: "Clavex accepts the API key",
  docs: "docs/connect.md#api-key",
  needs: ["clavex.reachable"],
  async run({ directory }) {
    if (directory === undefined) return skipped("no clavex.apiKey is configured");
    for await (const _page of directory.people()) break;
    return ok();
  },
};

const ANSWERS = ["clavex.reachable", "nextcloud.reachable", "nextcloud.maintenance", "clavex.clock", "nextcloud.clock"];
const CREDENTIALS = ["nextcloud.brute-force", "nextcloud.app-password", "nextcloud.admin"];
const serverChecks: readonly Check[] = [
  ...[...clavexChecks, ...nextcloudChecks].filter(({ id }) => [...ANSWERS, ...CREDENTIALS].includes(id)),
  keyCheck,
];

/** Whether both servers answer and accept the credentials, which a start checks with a handful of requests. */
export function examineServers(context: DoctorContext): Promise<Result[]> {
  return runChecks(serverChecks, context);
}
