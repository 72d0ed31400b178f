/** A server's message without e-mail addresses. */
export function withoutAddresses(text: string): string {
  return text.replaceAll(/[^\s"'<>()]+@[^\s"'<>()]+/g, "(e-mail address)");
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Foreign text made safe for a terminal: control characters and text direction marks become spaces. */
export function printable(text: string): string {
  return text.replace(CONTROL, " ");
}
