import type { Organization } from "../core/organization.ts";

/** What a pause, or its end, will change; that depends on whether changes made meanwhile can be read afterwards. */
export function effectOfPause({ clavex }: Organization, paused: boolean): string {
  const readable = clavex.apiKey !== undefined;
  if (paused)
    return readable
      ? "nobody gets or loses access until resume; deliveries are answered and dropped, a full reconciliation finds what they said"
      : "nobody gets or loses access until resume; without clavex.apiKey deliveries wait in the queue meanwhile: resume within ten days";
  return readable
    ? "a full reconciliation starts within a minute, where scheduled ones are on, and everybody is provisioned as plan shows it"
    : "what waits in the queue is worked on within twenty minutes";
}
