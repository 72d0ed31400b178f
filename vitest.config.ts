import { defineConfig } from "vitest/config";
import { TIMES } from "./test/support/chance.ts";

const PROCESSES = [
  "test/e2e/**",
  "test/cli/**",
  "test/infra/**",
  "test/local/**",
  "test/bench/**",
  "test/docs/commands.test.ts",
];
const PROPERTY = ["test/property/**"];
const DEPLOY = ["test/deploy/**"];
const CORE = ["test/core/**", "test/docs/{links,blocks}.test.ts", "test/house.test.ts"];
/** Only what hangs takes so long, also where the machine has much else to do. A property takes as long as its cases need. */
const HANGING_MS = 180_000;
const HANGING_PROPERTY_MS = 600_000;
const tests = (folders: string[]): string[] => folders.map((each) => each.replace(/\*\*$/, "**/*.test.ts"));

/** `core` is done in seconds; `rooms` use the embedded services; `processes` start programs; `property` tries many cases;
 * `deploy` deploys the stack into an emulator of AWS, by `npm run test:deploy` only. */
export default defineConfig({
  test: {
    testTimeout: HANGING_MS,
    hookTimeout: HANGING_MS,
    // Most tests wait for programs and servers: two at a time need little more than half of the time on two cores.
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: "core", include: tests(CORE) } },
      {
        extends: true,
        test: {
          name: "rooms",
          include: ["test/**/*.test.ts"],
          exclude: tests([...CORE, ...PROCESSES, ...PROPERTY, ...DEPLOY]),
        },
      },
      { extends: true, test: { name: "processes", include: tests(PROCESSES) } },
      {
        extends: true,
        test: { name: "property", include: tests(PROPERTY), testTimeout: HANGING_PROPERTY_MS * Math.max(1, TIMES) },
      },
      { extends: true, test: { name: "deploy", include: tests(DEPLOY) } },
    ],
  },
});
