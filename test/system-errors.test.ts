import { expect, it } from "vitest";
import { isSystemError, systemSentence } from "../functions/system-errors.ts";

const failed = (code: string, syscall: string, path?: string): Error =>
  Object.assign(new Error(`${code}: as Node.js says it`), { code, syscall, ...(path === undefined ? {} : { path }) });

it.each([
  ["EACCES", "open", "/srv/state", "/srv/state: this user may not, EACCES"],
  ["ENOTDIR", "mkdir", "/srv/file/state", "/srv/file/state: a part of the path is not a folder, ENOTDIR"],
  ["ENOSPC", "write", undefined, "write: the disk is full, ENOSPC"],
  ["EROFS", "open", "/srv/state", "/srv/state: the file system can only be read, EROFS"],
  ["EPIPE", "write", undefined, "write: whoever read the output is gone, EPIPE"],
  ["EADDRNOTAVAIL", "listen", undefined, "listen: the address is not one of this machine, EADDRNOTAVAIL"],
  ["ESTALE", "read", "/srv/state", "/srv/state: ESTALE"],
])("%s of %s is one sentence", (code, syscall, path, sentence) => {
  const error = failed(code, syscall, path);
  expect(isSystemError(error) && systemSentence(error)).toBe(sentence);
});

it("a mistake of ours is none, though it has a code", () => {
  expect(isSystemError(Object.assign(new TypeError("wrong"), { code: "ERR_INVALID_ARG_TYPE" }))).toBe(false);
});
