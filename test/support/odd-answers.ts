import {
  type Answer,
  type Fault,
  jsonAnswer,
  type RecordedRequest,
  type SimulatedServer,
} from "../../functions/simulated/server.ts";

/** One value of each JSON type. */
const VALUES: unknown[] = [null, true, 20231234, "odd", [], {}];

/** Which field of an answer is replaced, and by which value: numbers that are taken modulo how many there are. */
export interface Replacement {
  field: number;
  value: number;
}

/** Whose an answer is: requests about them, and their items in lists. All of these are texts that stand for them alone. */
export type Marks = readonly string[];

/** A fault that replaces one field of every answer that matches, by a value of another JSON type. */
export function oddField(
  replacement: Replacement,
  match: (request: RecordedRequest) => boolean = () => true,
): Extract<Fault, { kind: "changed" }> {
  return { kind: "changed", match, change: (answer) => changed(answer, (body) => replaceIn(body, replacement)) };
}

/** The same, only in what an answer says of those with these marks: the whole answer to a request about them, or their items. */
export function oddFieldOf(replacement: Replacement, marks: Marks): Fault {
  const isMarked = (text: string): boolean => marks.some((mark) => text.includes(mark));
  return {
    kind: "changed",
    change: (answer, { path, body }) =>
      changed(answer, (value) => {
        if (isMarked(decodeURIComponent(path)) || isMarked(body)) return replaceIn(value, replacement);
        const item = itemOf(value, isMarked);
        // An item that is only an id has no fields: the item itself is replaced.
        if (!item) return value;
        if (!isContainer(item.parent[item.key])) item.parent[item.key] = another(item.parent[item.key], replacement);
        else replaceIn(item.parent[item.key], replacement);
        return value;
      }),
  };
}

/**
 * Clavex cannot read the row of this person, as when their metadata is no JSON object: every page that they are on fails, the
 * one row more that tells whether there is another page included, and alone they are "not found" (docs/facts/clavex.md 6).
 */
export function unreadableRow(
  clavex: Pick<SimulatedServer, "answer">,
  id: string,
): Extract<Fault, { kind: "changed" }> {
  const rows = (path: string): number => Number(new URL(path, "http://clavex").searchParams.get("limit") ?? 50) + 1;
  return {
    kind: "changed",
    match: ({ method, path }) => method === "GET" && /\/users[?/]/.test(path),
    change(answer, request) {
      if (request.path.includes(`/users/${id}`)) return jsonAnswer(404, { error: "Not Found", message: "Not Found" });
      if (answer.status !== 200 || !request.path.includes("/users?")) return answer;
      const path = request.path.replace(/limit=\d+/, `limit=${rows(request.path)}`);
      const isRead = clavex.answer({ ...request, path }).body?.includes(id);
      return isRead ? jsonAnswer(500, { error: "Internal Server Error" }) : answer;
    },
  };
}

function changed(answer: Answer, change: (body: unknown) => unknown): Answer {
  if (answer.body === undefined || !answer.body.startsWith("{")) {
    if (!answer.body?.startsWith("[")) return answer;
  }
  return { ...answer, body: JSON.stringify(change(JSON.parse(answer.body))) };
}

type Container = Record<string, unknown>;

const isContainer = (value: unknown): value is Container => typeof value === "object" && value !== null;

interface Place {
  parent: Container;
  key: string;
}

function places(value: unknown): Place[] {
  if (!isContainer(value)) return [];
  return Object.keys(value).flatMap((key) => [{ parent: value, key }, ...places(value[key])]);
}

function replaceIn(body: unknown, replacement: Replacement): unknown {
  const all = places(body);
  const place = all[replacement.field % all.length];
  if (place) place.parent[place.key] = another(place.parent[place.key], replacement);
  return body;
}

function another(value: unknown, replacement: Replacement): unknown {
  const others = VALUES.filter((each) => jsonType(each) !== jsonType(value));
  return structuredClone(others[replacement.value % others.length]);
}

const jsonType = (value: unknown): string => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value);

/** The smallest item of a list, or of an object that is used as one, that holds all that the answer says of those. */
function itemOf(body: unknown, isMarked: (text: string) => boolean): Place | undefined {
  return places(body).find(({ parent, key }) => {
    const isList = Array.isArray(parent) || isMarked(key);
    if (!isList) return false;
    const item = parent[key];
    return isContainer(item)
      ? isMarked(key) || Object.values(item).some((each) => isText(each) && isMarked(each))
      : isMarked(String(item));
  });
}

const isText = (value: unknown): value is string => typeof value === "string";
