/*
 * Why this is not a library: parsers say which token they did not expect. Whoever edits an organization file needs to know what to
 * write instead, which depends on where in the grammar the text goes wrong (a comma or a colon, other quotes, a comment, a value
 * without quotes, an unfinished text). jsonc-parser 3.3.1, the most used one that names places, was tried with 24 such mistakes: nine
 * are one and the same InvalidSymbol to it, a wrong escape is placed at the beginning of its text, repeated keys are none of
 * its errors, and deep nesting ends in a RangeError. JSON.parse alone reads the document; what is here only explains why it cannot,
 * and its tests hold that both agree on what is JSON.
 */

/** What is wrong with a text that should be JSON, and where. The message never quotes the text: it may hold a secret. */
export interface JsonProblem {
  /** Both from 1. */
  line: number;
  column: number;
  /** The duplicate key, with those of the objects around it. Without one the text is not JSON. */
  duplicate?: string;
  /** What is wrong and what to do, in a few words. */
  message: string;
}

/** Far deeper than any document of ours. */
const DEEPEST = 50;
const SPACE = " \t\r\n";
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERAL = /(?:true|false|null)(?![\w-])/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const WORDS = "only numbers, true, false and null stand without";

/**
 * Finds the first place where a text is not JSON, or where a key is repeated: JSON.parse would silently take
 * the last.
 *
 * @param text a file's content, decoded as UTF-8
 * @returns undefined where JSON.parse reads the text, and nothing in it has two meanings
 */
export function jsonProblem(text: string): JsonProblem | undefined {
  const scanner = new Scanner(text);
  try {
    scanner.document();
    return undefined;
  } catch (error) {
    if (!(error instanceof Found)) throw error;
    const before = text.slice(0, error.at).split("\n");
    const { message, duplicate } = error;
    const place = { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
    return { ...place, message, ...(duplicate === undefined ? {} : { duplicate }) };
  }
}

class Found extends Error {
  readonly at: number;
  readonly duplicate: string | undefined;

  constructor(at: number, message: string, duplicate?: string) {
    super(message);
    this.at = at;
    this.duplicate = duplicate;
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;
  readonly #path: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    const strange = this.#text.search(/[\0\ufffd]/);
    if (this.#text.includes("\0")) throw new Found(0, "it is written in UTF-16: save it as UTF-8");
    if (strange >= 0) throw new Found(strange, "this character is not written in UTF-8: save the file as UTF-8");
    if (this.#text.startsWith("\ufeff")) {
      throw new Found(0, "it begins with an invisible byte order mark: save it as UTF-8 without one (no BOM)");
    }
    this.#space();
    if (this.#next() === "") throw new Found(this.#at, "it is empty: write it as organizations/example.json shows");
    this.#value();
    this.#space();
    if (this.#next() !== "") throw new Found(this.#at, "the document ends before this: remove what follows");
  }

  #next(): string {
    return this.#text.charAt(this.#at);
  }

  #rest(): string {
    return this.#text.slice(this.#at, this.#at + 20);
  }

  #space(): void {
    while (this.#next() !== "" && SPACE.includes(this.#next())) this.#at += 1;
    if (this.#text.startsWith("//", this.#at) || this.#text.startsWith("/*", this.#at) || this.#next() === "#") {
      throw new Found(this.#at, "JSON has no comments: remove it");
    }
  }

  #matches(expression: RegExp): boolean {
    expression.lastIndex = this.#at;
    const match = expression.exec(this.#text);
    if (match) this.#at += match[0].length;
    return match !== null;
  }

  #value(): void {
    const first = this.#next();
    if (first === "{") this.#object();
    else if (first === "[") this.#array();
    else if (first === '"') this.#string();
    else if (!this.#matches(LITERAL)) this.#number();
  }

  #number(): void {
    const start = this.#at;
    if (!/[-+.\d]/.test(this.#next())) throw this.#noValue();
    if (!this.#matches(NUMBER) || /^[\w.+-]|^ *[a-z]/i.test(this.#rest())) {
      throw new Found(start, `put a text in double quotes, and write a number in digits such as 5 or 0.5; ${WORDS}`);
    }
  }

  #noValue(): Found {
    const next = this.#next();
    if (next === "") return new Found(this.#at, "it ends too early: something is missing here");
    if (isOtherQuote(next)) return new Found(this.#at, OTHER_QUOTE);
    if (",:]}".includes(next)) return new Found(this.#at, `a value is missing before this ${next}`);
    return new Found(this.#at, `put a text in double quotes; ${WORDS}`);
  }

  #object(): void {
    const keys = new Set<string>();
    this.#members("}", () => {
      const start = this.#at;
      if (isOtherQuote(this.#next())) throw new Found(start, OTHER_QUOTE);
      if (this.#next() === "") throw this.#noValue();
      if (this.#next() !== '"') throw new Found(start, "a key is missing here, or its double quotes");
      const key = this.#string();
      this.#path.push(key);
      if (keys.has(key)) throw new Found(start, "is there twice: remove one", this.#path.join("."));
      keys.add(key);
      this.#space();
      if (this.#next() !== ":") throw new Found(this.#at, "a colon is missing between the key and its value");
      this.#at += 1;
      this.#space();
      this.#value();
      this.#path.pop();
    });
  }

  #array(): void {
    let index = 0;
    this.#members("]", () => {
      this.#path.push(String(index++));
      this.#value();
      this.#path.pop();
    });
  }

  /** What stands between brackets, with commas between. */
  #members(close: "}" | "]", member: () => void): void {
    if (this.#path.length > DEEPEST) throw new Found(this.#at, "it is nested too deep");
    this.#at += 1;
    this.#space();
    if (this.#next() === close) {
      this.#at += 1;
      return;
    }
    for (;;) {
      member();
      this.#space();
      const comma = this.#at;
      const next = this.#next();
      if (next === close) break;
      if (next === "") throw new Found(comma, `it ends too early: a ${close} is missing`);
      if (next !== ",") throw new Found(comma, `a comma or a ${close} is missing before this`);
      this.#at += 1;
      this.#space();
      if (this.#next() === close) throw new Found(comma, "this comma has nothing after it: remove it");
    }
    this.#at += 1;
  }

  /** @returns the text, its escapes resolved */
  #string(): string {
    const start = this.#at;
    this.#at += 1;
    for (;;) {
      const next = this.#next();
      if (next === '"') break;
      if (next === "" || next === "\n" || next === "\r") {
        throw new Found(start, 'this text has no end: its second " is missing on this line');
      }
      if (next < " ")
        throw new Found(this.#at, "this text holds a tab or another control character: write \\t, or a space");
      if (next !== "\\") this.#at += 1;
      else if (!this.#matches(ESCAPE)) throw new Found(this.#at, "write two backslashes for one: \\\\");
    }
    this.#at += 1;
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }
}

const OTHER_QUOTE = 'put keys and texts in double quotes ("), not in others';

function isOtherQuote(character: string): boolean {
  return character !== "" && "'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb".includes(character);
}
