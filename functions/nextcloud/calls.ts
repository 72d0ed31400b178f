import type { OcsParameters } from "./ocs.ts";

/** The parts of a call that are compared with others of its kind. */
export interface Described {
  /** Method and path without ids, such as `GET cloud/users/*`. */
  kind: string;
  /** Whom it is about: an account or a subject, a group, or both. Empty for a list. */
  about: string[];
}

const PARAMETERS = ["userid", "userId", "groupid"];

/** @param path below `/ocs/v2.php/`, with encoded ids */
export function describe(method: string, path: string, parameters: OcsParameters): Described {
  const segments = path.split("/");
  const inPath = segments[0] === "cloud" ? segments.splice(2, 1, "*") : [];
  const place = inPath.length > 0 ? segments.join("/") : path;
  const named = PARAMETERS.flatMap((name) => parameters[name] ?? []);
  return { kind: `${method} ${place}`, about: [...inPath, ...named] };
}
