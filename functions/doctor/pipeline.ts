import { randomUUID } from "node:crypto";
import { SIGNATURE_HEADER, sign } from "../clavex/signature.ts";
import type { Braked } from "../core/brake.ts";
import { withoutEffect } from "../core/organization.ts";
import { latestFindings } from "../core/status.ts";
import { counted } from "../core/text.ts";
import { createPool, networkErrorName, send } from "../http.ts";
import { type Check, type Finding, fail, ok, skipped, warn } from "./check.ts";
import type { DoctorContext } from "./context.ts";

/** More are as bad: doctor does not count them to the end. */
const DEAD_LETTERS_COUNTED = 50;

/** The pipeline between the two: secrets, queue, ledger, and what waits for a person. */
export const pipelineChecks: Check[] = [
  {
    id: "pipeline.webhook-secrets",
    title: "The webhook secrets can be read",
    docs: "docs/configuration.md#secrets",
    async run({ organization, secrets }) {
      const readable = await secrets.webhook(organization);
      if (organization.clavex.webhookSecrets.length === 0) {
        return skipped(
          "clavex.webhookSecrets is empty: no deliveries are taken, reconciliation alone keeps Nextcloud up to date",
        );
      }
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
    id: "pipeline.delivery",
    title: "The running pipeline takes signed deliveries",
    docs: "docs/connect.md#webhook",
    needs: ["pipeline.webhook-secrets", "pipeline.running"],
    run: delivers,
  },
  {
    id: "pipeline.queue",
    title: "The queue can be reached",
    docs: "docs/operations.md",
    async run({ pipeline: { queue } }) {
      if (!queue) return skipped("there is none before the first start");
      const { waiting, delayed, inFlight } = await queue();
      return ok(`jobs: ${waiting} wait, ${delayed} wait for another attempt, ${inFlight} are under way`);
    },
  },
  {
    id: "pipeline.ledger",
    title: "The ledger can be read",
    docs: "docs/operations.md",
    async run({ organization, pipeline: { ledger } }) {
      if (!ledger) return skipped("there is none before the first start");
      const enabled = latestFindings(await ledger.runs.of(organization.slug))?.enabled;
      return ok(
        enabled === undefined
          ? undefined
          : `when the last run looked, ${counted(enabled, "person", "people")} had an enabled account from the pipeline`,
      );
    },
  },
  {
    id: "pipeline.brake",
    title: "The brake holds nobody",
    docs: "docs/operations.md#the-brake",
    needs: ["pipeline.ledger"],
    async run({ organization: { slug }, pipeline: { ledger } }) {
      const isHeld = async (braked: Braked) => (await ledger?.brakes.get(slug, braked))?.state.held === true;
      const braked = (await isHeld("deprovisions")) ? "deprovisions" : (await isHeld("leaves")) ? "leaves" : undefined;
      if (!braked) return ok();
      return fail(
        `the brake holds people who would lose ${{ deprovisions: "access", leaves: "a group" }[braked]}: too many at once`,
        `Look at npx clavex-nextcloud plan, then: npx clavex-nextcloud reconcile --organization ${slug} --allow-${braked} NUMBER`,
      );
    },
  },
  {
    id: "pipeline.dead-letters",
    title: "No dead letters wait",
    docs: "docs/operations.md#dead-letters",
    needs: ["pipeline.ledger"],
    async run({ organization: { slug }, pipeline: { ledger, givenUp } }) {
      const parked = (await ledger?.deadLetters.count(slug, DEAD_LETTERS_COUNTED)) ?? 0;
      const messages = (await givenUp?.()) ?? 0;
      if (parked + messages === 0) return ok();
      return fail(
        [
          ...(parked === 0
            ? []
            : [`${counted(parked, "person's job was", "people's jobs were", DEAD_LETTERS_COUNTED)} refused for good`]),
          ...(messages === 0 ? [] : [`${counted(messages, "message was", "messages were")} given up by the queue`]),
        ].join(", "),
        `npx clavex-nextcloud dead-letters list --organization ${slug}`,
      );
    },
  },
];

const ANSWER_TIMEOUTS = { connect: 5_000, headers: 10_000, body: 10_000 };
/** An event that concerns no provisioning: the answer proves secret and address, and nothing is queued. */
const IGNORED_EVENT = "clavex-nextcloud.doctor";

/** Posts a delivery that is ignored, signed with each of the secrets that this process reads. */
async function delivers({ organization, secrets, pipeline: { deliverTo } }: DoctorContext): Promise<Finding> {
  if (deliverTo === undefined) return skipped("its address is not known here");
  const url = new URL(`${deliverTo}/${organization.slug}`);
  const pool = createPool(url.href, 1, ANSWER_TIMEOUTS);
  try {
    for (const secret of await secrets.webhook(organization)) {
      const body = JSON.stringify({
        id: randomUUID(),
        event: IGNORED_EVENT,
        occurred_at: new Date().toISOString(),
        data: { org_id: organization.organizationId },
      });
      const headers = { "content-type": "application/json", [SIGNATURE_HEADER]: sign(body, secret) };
      const { status } = await send(pool, { method: "POST", path: url.pathname, headers, body });
      if (status !== 202) return undelivered(url.href, status);
    }
    return ok(`at ${url.href}`);
  } catch (error) {
    return fail(
      `${url.href} cannot be reached (${networkErrorName(error)})`,
      "Is the pipeline running, and does the address lead to it?",
    );
  } finally {
    await pool.destroy();
  }
}

function undelivered(url: string, status: number): Finding {
  if (status === 401) {
    return fail(
      `${url} answers 401: the running pipeline knows another secret, or not this organization`,
      "Give both the same .env and organization files; a variable in the environment of the pipeline's process wins over .env.",
    );
  }
  if (status === 503) {
    return fail(
      `${url} answers 503: the running pipeline cannot take deliveries`,
      "Its log says why: a secret that it cannot read, or a disk that is full.",
    );
  }
  return fail(`${url} answers ${status}`, "Does the address lead to the pipeline, past every proxy?");
}
