import type { ManagementApi } from "../clavex/management-api.ts";
import type { Organization } from "../core/organization.ts";
import type { Result } from "../doctor/check.ts";
import type { Ocs } from "../nextcloud/ocs.ts";
import type { SetupRecord } from "./record.ts";
import type { SecretName, SecretStore } from "./store.ts";

/** What has to be known to connect one organization. */
export interface Answers {
  slug: string;
  organizationId: string;
  clavexUrl: string;
  nextcloudUrl: string;
  username: string;
  /** Where Clavex shall post to. */
  webhookUrl: string | undefined;
  /** The id of a provider that is there already; needed where Nextcloud does not show its providers. */
  providerId: number | undefined;
  auditSink: boolean;
  disableLocalLogin: boolean;
}

/** What the steps work with. */
export interface SetupContext {
  answers: Answers;
  /** Undefined without an administrator's token. */
  management: ManagementApi | undefined;
  /** Nextcloud, with the app password that was given or is stored. */
  ocs: Ocs;
  /** The app password that was given for this run. */
  givenAppPassword: string | undefined;
  store: SecretStore;
  record: SetupRecord;
  /** Undefined for the demo, which keeps its organization in memory. */
  organizationFile: string | undefined;
  /** The organization that is configured already. */
  configured: Organization | undefined;
  /** Runs doctor on the organization as it is by now. */
  doctor: () => Promise<Result[]>;
  /** What a step hands to those after it. */
  passing: { clientSecret?: string; providerId?: number };
}

/** Writes a secret down where the reference says, and that setup did so. */
export async function keepSecret({ store, record }: SetupContext, name: SecretName, value: string): Promise<void> {
  await store.write(name, value);
  const { secrets = [] } = await record.read();
  if (!secrets.includes(name)) await record.write({ secrets: [...secrets, name] });
}

/** Removes a secret that setup wrote down. */
export async function forgetSecret({ store, record }: SetupContext, name: SecretName): Promise<void> {
  const { secrets = [] } = await record.read();
  if (!secrets.includes(name)) return;
  await store.remove(name);
  const left = secrets.filter((each) => each !== name);
  await record.write({ secrets: left.length === 0 ? undefined : left });
}
