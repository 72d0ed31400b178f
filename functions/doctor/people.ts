import { accountId } from "../core/identity.ts";
import { type Check, ok, skipped, warn } from "./check.ts";

/** What is remarkable about the people themselves. */
export const peopleChecks: Check[] = [
  {
    id: "people.own-account",
    title: "The account that the pipeline works with is nobody's of the directory",
    docs: "docs/connect.md",
    needs: ["nextcloud.app-password", "clavex.api-key"],
    async run({ organization, directory, users, account }) {
      if (!directory) return skipped("without clavex.apiKey nobody can be listed");
      const own = (await account()).id.toLowerCase();
      const people = await users();
      const person = people.find(({ subject }) => accountId(organization.identity, subject).toLowerCase() === own);
      if (!person) return ok();
      return warn(
        `${organization.nextcloud.username} is the account of the person ${person.subject}: it is never changed or disabled, also when they leave`,
        "Give the pipeline an account of its own; setup makes one.",
      );
    },
  },
  {
    id: "people.verified",
    title: "Clavex has verified everybody's e-mail address",
    docs: "docs/configuration.md#addresses-that-nobody-has-verified",
    needs: ["clavex.api-key"],
    async run({ organization, directory, users }) {
      if (!directory) return skipped("without clavex.apiKey nobody can be listed");
      const people = (await users()).filter(({ active }) => active);
      const unverified = people.filter(({ emailVerified }) => !emailVerified).length;
      if (unverified === 0) return ok();
      const { verifiedEmailOnly } = organization.scope;
      return warn(
        `${unverified} of ${people.length} people have an e-mail address that is not verified in Clavex`,
        verifiedEmailOnly
          ? "Whoever of them has no account gets none until it is verified; accounts that are there stay."
          : "Shares to such an address find their account. Let them verify it, or set scope.verifiedEmailOnly.",
      );
    },
  },
];
