declare module "dynalite" {
  import type { Server } from "node:http";

  /** A DynamoDB server on LevelDB. Its `close` closes the store too. */
  export default function dynalite(options?: { path?: string; createTableMs?: number }): Server;
}
