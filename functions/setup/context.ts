import type { ManagementApi } from "../clavex/management-api.ts";
import type { Organization } from "../core/organization.ts";
import type { Result } from "../doctor/check.ts";
import type { Skeletons } from "../ledger/skeletons.ts";
import type { Ocs } from "../nextcloud/ocs.ts";
import type { SetupRecord } from "./record.ts";
import type { SecretName, SecretStore } from "./store.ts";

/** Everything needed to connect one organization. */
export interface Answers {
  slug: string;
  organizationId: string;
  clavexUrl: string;
  nextcloudUrl: string;
  username: string;
  /** Where Clavex has to post to; `none` where it cannot reach the pipeline, and undefined while nobody has said. */
  webhookUrl: string | undefined;
  /** The id of an existing provider; needed where Nextcloud does not show its providers. */
  providerId: number | undefined;
  /** How that provider makes account ids, where Nextcloud does not show it. */
  accountIds?: AccountIds | undefined;
  /** The name of sociallogin's provider, where people log in with that app and not with user_oidc. */
  providerName?: string | undefined;
  auditSink: boolean;
  disableLocalLogin: boolean;
  /** `deprovision.erased` of a new organization; undefined: its default. */
  erased?: Erased | undefined;
}

/** What happens in Nextcloud to people who are erased in Clavex. */
export type Erased = Organization["deprovision"]["erased"];

/** The settings of a provider of user_oidc that decide account ids, as `identity` has them. */
export interface AccountIds {
  uniqueUserIds: boolean;
  providerBasedIds?: true;
  providerIdentifier?: string | undefined;
}

/** The answer for the webhook's address where Clavex cannot reach the pipeline: then reconciliation does the work alone. */
export const NO_WEBHOOK = "none";

/** What the steps work with. */
export interface SetupContext {
  answers: Answers;
  /** Undefined without an administrator's token. */
  management: ManagementApi | undefined;
  /** How Clavex can sign id tokens, as its discovery document says. */
  signingAlgorithms: () => Promise<string[]>;
  /** Nextcloud, with the app password that was given or is stored. */
  ocs: Ocs;
  /** The app password that was given for this run. */
  givenAppPassword: string | undefined;
  store: SecretStore;
  /** What the pipeline has seen of the skeleton; undefined where it has never run. */
  skeletons?: Skeletons | undefined;
  record: SetupRecord;
  /** Undefined for the demo, which keeps its organization in memory. */
  organizationFile: string | undefined;
  /** The organization as it is already configured. */
  configured: Organization | undefined;
  /** Runs doctor on the organization in its current state. */
  doctor: () => Promise<Result[]>;
  /** What a step passes on to later ones. */
  passing: { clientSecret?: string; providerId?: number; skeleton?: "default" | "empty" };
}

/** Stores a secret where its reference says, and records that setup did so. */
export async function keepSecret({ store, record }: SetupContext, name: SecretName, value: string): Promise<void> {
  await store.write(name, value);
  const { secrets = [] } = await record.read();
  if (!secrets.includes(name)) await record.write({ secrets: [...secrets, name] });
}

/** Removes a secret that setup stored. */
export async function forgetSecret({ store, record }: SetupContext, name: SecretName): Promise<void> {
  const { secrets = [] } = await record.read();
  if (!secrets.includes(name)) return;
  await store.remove(name);
  const left = secrets.filter((each) => each !== name);
  await record.write({ secrets: left.length === 0 ? undefined : left });
}
