import { PipelineFailure } from "../core/failure.ts";

/** A secret that a reference names but that cannot be read, or that is too short to be one. */
export class SecretUnreadable extends PipelineFailure {
  constructor(reference: string, { place, fix }: { place: string; fix?: string }, reason: string, cause?: unknown) {
    super(
      "configuration",
      "secret-unreadable",
      `secret ${reference} cannot be read from ${place}: ${reason}`,
      "subject",
      {
        fix: fix ?? `Put the secret at ${place}.`,
        cause,
      },
    );
  }
}
