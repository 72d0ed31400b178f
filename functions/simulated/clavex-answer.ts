import { type Answer, jsonAnswer } from "./server.ts";

const NAMES: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  422: "Unprocessable Entity",
  500: "Internal Server Error",
};

/** A refusal of the API. Without a message it is the status's name, as in the real server. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message = NAMES[status] ?? "Error") {
    super(message);
    this.status = status;
  }

  get answer(): Answer {
    return jsonAnswer(this.status, { error: NAMES[this.status] ?? "Error", message: this.message });
  }
}

/** What Go's validator says of a field of a request. */
export function invalid(request: string, field: string, tag: string): ApiError {
  return new ApiError(
    422,
    `Key: '${request}.${field}' Error:Field validation for '${field}' failed on the '${tag}' tag`,
  );
}

const PAGE = { default: 50, most: 200 };

/** The `limit` of a list: anything but a number from 1 upwards counts as the default. */
export function limitOf(query: URLSearchParams): number {
  const limit = Number.parseInt(query.get("limit") ?? "", 10);
  return limit > 0 ? Math.min(limit, PAGE.most) : PAGE.default;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The `after` of a list; text that is no UUID is refused. */
export function afterOf(query: URLSearchParams): string | undefined {
  const after = query.get("after") ?? undefined;
  if (after !== undefined && !UUID.test(after)) throw new ApiError(400, "invalid cursor");
  return after;
}

/** An id in a path has to be a UUID. */
export function requireUuids(ids: readonly string[]): void {
  if (ids.some((id) => !UUID.test(id))) throw new ApiError(400, "id must be a valid UUID");
}
