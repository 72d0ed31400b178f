import { describe, expect, test } from "vitest";
import * as z from "zod";
import { quick } from "../../functions/core/quick.ts";
import { fc } from "../support/fast-check.ts";

/** Every part that a schema of ours has, with values that fit it. */
const PARTS: Record<string, [schema: z.ZodType, ...values: unknown[]]> = {
  text: [z.string(), "a", ""],
  lastText: [z.string().catch("none"), "a"],
  long: [z.string().min(3), "abc"],
  trimmed: [z.string().trim(), "abc", " abc "],
  id: [z.guid().toLowerCase(), "9fb74635-2964-4b7a-8358-b0e310fee1cd", "9FB74635-2964-4b7a-8358-b0e310fee1cd"],
  flag: [z.boolean(), true, false],
  truth: [z.coerce.boolean(), true, "x"],
  number: [z.number(), 0, -1.5],
  whole: [z.int(), 3, 3.5],
  positive: [z.number().min(0).optional(), 1, -1],
  state: [z.enum(["active", "gone"]), "active", "gone"],
  anything: [z.unknown(), undefined, { a: [1] }],
  maybeAnything: [z.unknown().optional(), { a: [1] }],
  maybe: [z.string().optional(), "a"],
  maybeOdd: [z.enum(["disable", "leave"]).optional().catch(undefined), "leave"],
  none: [z.string().nullish(), null, "a"],
  defaulted: [z.string().default("b"), "a"],
  either: [z.union([z.string(), z.number().transform(String)]), "a", 1],
  turned: [z.union([z.number().transform(String), z.unknown()]), "a", 1],
  list: [z.array(z.unknown()), [], [1, "a"]],
  texts: [z.array(z.string()), [], ["a"]],
  rows: [z.union([z.array(z.unknown()), z.record(z.string(), z.unknown())]).nullish(), [1], { 1: "a" }],
  storage: [z.looseObject({ used: z.unknown().optional() }).catch({ used: undefined }), { used: 1, free: 2 }],
  strict: [z.strictObject({ a: z.string() }), { a: "a" }, { a: "a", b: "b" }],
  time: [z.string().transform((text) => text.length), "abc"],
};
const ODD = [undefined, null, "", "x", 0, -1, Number.NaN, Number.POSITIVE_INFINITY, true, [], [1], {}, { a: null }];
const SCHEMA = z.looseObject(Object.fromEntries(Object.entries(PARTS).map(([name, [schema]]) => [name, schema])));

function outcome(schema: z.ZodType, value: unknown) {
  const { data, error } = schema.safeParse(value);
  return { data, issues: error?.issues };
}

function asTheSchemaDoes(schema: z.ZodType, values: fc.Arbitrary<unknown>): void {
  const fast = quick(schema);
  const same = (value: unknown) => void expect(outcome(fast, value)).toStrictEqual(outcome(schema, value));
  fc.assert(fc.property(values, same), { numRuns: 300 });
}

describe("quick", () => {
  test.each(Object.entries(PARTS))("reads %s as its schema does, and refuses what it refuses", (name, [
    schema,
    ...values
  ]) => {
    asTheSchemaDoes(schema, fc.constantFrom(...values, ...ODD));
    // A field may be missing.
    const fields = fc.constantFrom(...values, ...ODD).map((value) => ({ [name]: value, unnamed: 1 }));
    asTheSchemaDoes(z.looseObject({ [name]: schema }), fc.oneof(fields, fc.constantFrom<unknown>({}, ...ODD)));
  });

  test("reads a whole item as its schema does, whatever is odd or missing in it", () => {
    const fields = Object.entries(PARTS).map(([name, [, ...values]]) =>
      fc.tuple(
        fc.constant(name),
        fc.oneof({ weight: 30, arbitrary: fc.constantFrom(...values) }, fc.constantFrom(...ODD)),
      ),
    );
    const items = fc.tuple(fc.tuple(...fields), fc.nat(60)).map(([all, left]) => {
      return Object.fromEntries(all.filter((_, index) => index !== left));
    });
    asTheSchemaDoes(SCHEMA, items);
  });

  test("gives back what has the form already, with the fields that the schema does not name", () => {
    const schema = quick(z.object({ id: z.string(), groups: z.array(z.string()).optional() }));
    const item = { id: "a", groups: ["b"], further: 1 };
    expect(schema.parse(item)).toBe(item);
    expect(() => schema.parse({ ...item, groups: [1] })).toThrow(z.ZodError);
  });
});
