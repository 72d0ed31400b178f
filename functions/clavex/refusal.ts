import * as z from "zod";
import { type Answer, readJson } from "../http.ts";

const refusalSchema = z.object({ message: z.string().nullish(), error_description: z.string().nullish() });

/**
 * Why Clavex refuses something, in its own words; empty where it says no more than the status. The Admin API has
 * `message`, the routes of OpenID Connect `error_description`; a code that stands before the text is left out.
 */
export function reasonOf({ status, body }: Answer): string {
  const read = readJson(body, refusalSchema);
  const { message, error_description: description } = "value" in read ? read.value : {};
  const reason = (description || message || "").replace(/^code=\d+, message=/, "").replace(/, internal=.*$/, "");
  return reason === STATUS_NAMES[status] ? "" : reason;
}

const STATUS_NAMES: Record<number, string> = { 401: "Unauthorized", 403: "Forbidden", 404: "Not Found" };
