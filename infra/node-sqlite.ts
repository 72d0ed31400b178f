/*
 * In place of node:sqlite in the bundled program: an import of it would end an older Node.js with a stack trace, before the
 * program can say which version it needs.
 */
export const { DatabaseSync, backup } = process.getBuiltinModule("node:sqlite");
