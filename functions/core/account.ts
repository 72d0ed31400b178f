import { PipelineFailure } from "./failure.ts";
import type { Quota } from "./quota.ts";

/** What an account is made with. Empty texts are not sent: Nextcloud would ignore them. */
export interface Profile {
  displayName: string;
  email: string;
  /** Undefined when no rule gives one: then the account's own is left alone. */
  quota: Quota | undefined;
}

/** An account as Nextcloud holds it. `quota` is undefined when the answer shows none that can be compared. */
export interface ActualAccount extends Profile {
  id: string;
  enabled: boolean;
  /** `Database` for a local account, `user_oidc` for one that belongs to an OIDC provider. */
  backend: string;
  groups: string[];
}

/** An account of this id exists that is not the person's: nothing of it may be touched. */
export class AccountConflict extends PipelineFailure {
  constructor(message: string) {
    super("permanent", "account-conflict", message, "subject");
  }
}

/** The person's data is beyond what Nextcloud can hold. */
export class ProfileRefused extends PipelineFailure {
  constructor(message: string) {
    super("permanent", "profile-refused", message, "subject");
  }
}
