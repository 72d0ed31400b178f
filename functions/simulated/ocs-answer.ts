import type { Answer } from "./server.ts";

/** What a call of the OCS API came to: its OCS code (100 means OK in both versions), message and data. */
export interface OcsResult {
  code: number;
  message: string;
  data: unknown;
}

/** A call that the API refuses with an OCS code; the real one's OCSException. */
export class OcsError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message = "", data: unknown = []) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** An exception that nobody catches in the real server: HTTP 500, or 200 with code 996 in version 1. */
export class InternalServerError extends Error {}

/** A parameter that is missing or of a wrong JSON type. */
export class WrongType extends InternalServerError {}

/** How an answer has to look: the API version and what the client asked for. */
export interface OcsForm {
  version: 1 | 2;
  /** `format=json` is in the query: the only thing that the answers outside the controllers look at. */
  formatJson: boolean;
  /** JSON for answers of controllers: `format=json`, or `Accept` names JSON. */
  acceptsJson: boolean;
  /** From 32 on, errors from outside the controllers look like all others. */
  jsonErrors: boolean;
}

/** A result of a controller: JSON or XML as asked, the HTTP status by the version's mapping (docs/facts/nextcloud.md 4). */
export function ocsAnswer(form: OcsForm, { code, message, data }: OcsResult): Answer {
  const ok = code === 100;
  const statuscode = ok && form.version === 2 ? 200 : code;
  const meta = { status: ok ? "ok" : "failure", statuscode, message };
  const body = {
    ocs: { meta: form.version === 1 ? { ...meta, totalitems: "", itemsperpage: "" } : meta, data },
  };
  const status = httpStatus(form.version, statuscode);
  return form.acceptsJson
    ? { status, headers: contentType("application/json; charset=utf-8"), body: JSON.stringify(body) }
    : { status, headers: contentType("application/xml; charset=utf-8"), body: xmlDocument(body.ocs) };
}

/**
 * An error from outside the controllers (500, unknown route, maintenance): before 32 XML unless the query says `format=json`.
 */
export function entryError(
  form: OcsForm,
  status: number,
  statuscode: number,
  message: string,
  headers: Record<string, string> = {},
): Answer {
  const ocs = { meta: { status: "failure", statuscode, message }, data: [] };
  return form.formatJson || (form.jsonErrors && form.acceptsJson)
    ? {
        status,
        headers: { ...contentType("application/json; charset=utf-8"), ...headers },
        body: JSON.stringify({ ocs }),
      }
    : { status, headers: { ...contentType("text/xml; charset=UTF-8"), ...headers }, body: xmlDocument(ocs) };
}

/** An uncaught exception: 500, in version 1 the HTTP status 200 with OCS code 996. */
export function internalServerError(form: OcsForm): Answer {
  const [status, code] = form.version === 1 ? [200, 996] : [500, form.jsonErrors ? 996 : 500];
  return entryError(form, status, code, "Internal Server Error\n");
}

/** Wrong credentials: before 32 XML, even if the client asked for JSON. */
export function wrongCredentials(form: OcsForm): Answer {
  return entryError({ ...form, formatJson: form.formatJson && form.jsonErrors }, 401, 997, "Unauthorised", {
    "www-authenticate": 'Basic realm="Authorisation Required"',
  });
}

/** What brute-force protection says to good credentials too: from 32 on 429, before that an exception. */
export function tooManyFailures(form: OcsForm): Answer {
  if (!form.jsonErrors) return internalServerError(form);
  return entryError(form, form.version === 1 ? 200 : 429, 429, "Reached maximum delay");
}

/** A path that no route has. */
export function unknownRoute(form: OcsForm): Answer {
  const [status, code] = form.version === 1 ? [200, 998] : [404, form.jsonErrors ? 998 : 404];
  return entryError(
    form,
    status,
    code,
    "Invalid query, please check the syntax. API specifications are here: " +
      "http://www.freedesktop.org/wiki/Specifications/open-collaboration-services.\n",
  );
}

/** Version 2 turns OCS codes into HTTP statuses; version 1 does so for 401 only. */
function httpStatus(version: 1 | 2, code: number): number {
  if (code === 997) return 401;
  if (version === 1) return 200;
  if (code === 998) return 404;
  if (code === 996 || code === 999) return 500;
  return code < 200 || code > 600 ? 400 : code;
}

const contentType = (value: string): Record<string, string> => ({ "content-type": value });

function xmlDocument(ocs: object): string {
  return `<?xml version="1.0"?>\n${xmlElement("ocs", ocs, "")}`;
}

function xmlElement(name: string, value: unknown, indent: string): string {
  if (typeof value === "object" && value !== null) {
    const children = Object.entries(value).map(([key, child]) =>
      xmlElement(Array.isArray(value) ? "element" : key, child, `${indent} `),
    );
    if (children.length === 0) return `${indent}<${name}/>\n`;
    return `${indent}<${name}>\n${children.join("")}${indent}</${name}>\n`;
  }
  const text = value === true ? "1" : value === false || value === null || value === undefined ? "" : String(value);
  return `${indent}<${name}>${escapeXml(text)}</${name}>\n`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
