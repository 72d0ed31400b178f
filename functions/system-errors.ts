/** The operating system's error codes that an admin can act on, in words. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: "this user may not",
  EPERM: "this user may not",
  ENOENT: "there is no such file or folder",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "it is a folder",
  EEXIST: "it is there already",
  ELOOP: "its symbolic links go round in a circle",
  ENAMETOOLONG: "the name is too long",
  EROFS: "the file system can only be read",
  ENOSPC: "the disk is full",
  EDQUOT: "this user's share of the disk is full",
  EIO: "the disk has an error",
  EMFILE: "this process has too many files open",
  ENFILE: "this machine has too many files open",
  EADDRINUSE: "the port is in use",
  EADDRNOTAVAIL: "the address is not one of this machine",
  EAFNOSUPPORT: "this machine has no such kind of address",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "the name cannot be looked up now",
  EPIPE: "whoever read the output is gone",
};

/** Whether this is an operating system error, and so not a bug of ours. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  return error instanceof Error && "code" in error && typeof error.code === "string" && "syscall" in error;
}

/** What the operating system said, such as `the disk is full, ENOSPC`; no path and no address. */
export function systemWords(error: NodeJS.ErrnoException): string {
  const code = error.code ?? error.name;
  const words = WORDS[code];
  return words === undefined ? code : `${words}, ${code}`;
}

/** One sentence for a person: what was touched, and what the operating system said. */
export function systemSentence(error: NodeJS.ErrnoException): string {
  return `${error.path ?? error.syscall}: ${systemWords(error)}`;
}
