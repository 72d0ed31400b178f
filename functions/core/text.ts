/** A text without e-mail addresses: each word with an @ inside becomes `(e-mail address)`, but for paths like `a/@scope/b`. */
export function withoutAddresses(text: string): string {
  return text.replaceAll(/[^\s"'<>()]+/g, (word) => (/[^/]@./.test(word) ? "(e-mail address)" : word));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Foreign text made safe for a terminal: control characters and text direction marks become spaces. */
export function printable(text: string): string {
  return text.replace(CONTROL, " ");
}

/** A count with its noun in the right number: `1 person`, `2 people`. */
export function counted(count: number, one: string, many = `${one}s`, countedTo?: number): string {
  return `${upTo(count, countedTo)} ${count === 1 ? one : many}`;
}

/** A number that was counted only so far: as many are as many or more. */
export function upTo(count: number, countedTo: number | undefined): string {
  return countedTo !== undefined && count >= countedTo ? `${count} or more` : String(count);
}

/**
 * A text whose commands can be copied: those of this program name the stage that they are for.
 *
 * @param stage undefined for the pipeline on one machine, which has no name
 */
export function namingStage(text: string, stage: string | undefined): string {
  if (stage === undefined || text.includes("--stage")) return text;
  return text.replaceAll(
    /\bclavex-nextcloud ((?:dead-letters |unknown )?[a-z][a-z-]*)/g,
    `clavex-nextcloud $1 --stage ${stage}`,
  );
}

/** Interns strings: gives equal texts back as one, where hundreds of people have the same. */
export function createInterner(): (text: string) => string {
  const texts = new Map<string, string>();
  return (text) => {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, text);
    return text;
  };
}
