import { withoutEffect } from "../core/organization.ts";
import { type Check, fail, ok, skipped, warn } from "./check.ts";

/** The pipeline between the two: secrets, queue, ledger, and what waits for a person. */
export const pipelineChecks: Check[] = [
  {
    id: "pipeline.webhook-secrets",
    title: "The webhook secrets can be read",
    docs: "docs/configuration.md#secrets",
    async run({ organization, secrets }) {
      const readable = await secrets.webhook(organization);
      const missing = organization.clavex.webhookSecrets.length - readable.length;
      if (missing === 0) return ok();
      return warn(
        `${missing} of ${organization.clavex.webhookSecrets.length} references in clavex.webhookSecrets lead to no secret of 32 characters or more`,
        "Put the secret there, or remove the reference when its rotation is over.",
      );
    },
  },
  {
    id: "pipeline.effect",
    title: "All that is configured has an effect",
    docs: "docs/configuration.md#groups-that-are-not-ours",
    async run({ organization }) {
      const notes = withoutEffect(organization);
      return notes.length === 0 ? ok() : warn(notes.join("; "), "Take it out of the organization's document.");
    },
  },
  {
    id: "pipeline.running",
    title: "The pipeline runs",
    docs: "docs/local.md",
    run: async ({ pipeline: { stopped } }) => (stopped ? warn(stopped.cause, stopped.fix) : ok()),
  },
  {
    id: "pipeline.queue",
    title: "The queue can be reached",
    docs: "docs/operations.md",
    async run({ pipeline: { queue } }) {
      if (!queue) return skipped("there is none before the first start");
      const { waiting, delayed, inFlight } = await queue();
      return ok(`${waiting} jobs wait, ${delayed} wait for another attempt, ${inFlight} are under way`);
    },
  },
  {
    id: "pipeline.ledger",
    title: "The ledger can be read",
    docs: "docs/operations.md",
    async run({ organization, pipeline: { ledger } }) {
      if (!ledger) return skipped("there is none before the first start");
      return ok(`${await ledger.subjects.countActive(organization.slug)} people have an account by us`);
    },
  },
  {
    id: "pipeline.brake",
    title: "The brake holds nobody",
    docs: "docs/operations.md#the-brake",
    needs: ["pipeline.ledger"],
    async run({ organization: { slug }, pipeline: { ledger } }) {
      const brake = await ledger?.brakes.get(slug);
      if (!brake?.state.held) return ok();
      return fail(
        "people wait to lose their access, because there were too many at once",
        `Look at clavex-nextcloud plan, then: clavex-nextcloud reconcile --organization ${slug} --allow-deprovisions NUMBER`,
      );
    },
  },
  {
    id: "pipeline.dead-letters",
    title: "No dead letters wait",
    docs: "docs/operations.md#dead-letters",
    needs: ["pipeline.ledger"],
    async run({ organization: { slug }, pipeline: { ledger, givenUp } }) {
      let parked = 0;
      if (ledger) for await (const page of ledger.deadLetters.all(slug)) parked += page.length;
      const messages = (await givenUp?.()) ?? 0;
      if (parked + messages === 0) return ok();
      return fail(
        `${parked} people's jobs were refused for good, ${messages} messages were given up by the queue`,
        `clavex-nextcloud dead-letters list --organization ${slug}`,
      );
    },
  },
];
