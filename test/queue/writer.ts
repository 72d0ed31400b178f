import { openDatabase } from "../../functions/database.ts";
import { createSqliteQueue } from "../../functions/queue/sqlite.ts";
import { jobOf } from "../contract/queue-targets.ts";

// Sends jobs to the queue of a state folder, some at once, and prints the number of each one when it is acknowledged.
const [folder = "", first = "0", name = ""] = process.argv.slice(2);
const AT_ONCE = 8;
const SUBJECTS = 20;

const queue = createSqliteQueue(openDatabase(folder), { visibilitySeconds: 30 });
console.log("ready");
async function send(start: number): Promise<void> {
  for (let number = start; ; number += AT_ONCE) {
    await queue.send(jobOf(`subject ${number % SUBJECTS}`, `${name}${number}`), `${name}${number}`);
    process.stdout.write(`sent ${number}\n`);
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => send(Number(first) + index)));
