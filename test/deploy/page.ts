import { readFileSync } from "node:fs";

/** A fenced block of a page, without the indentation of the list that it stands in. */
export interface Block {
  language: string;
  text: string;
}

/** The fenced blocks of a page below `## heading` or `### heading`, until the next heading, in order. */
export function blocksBelow(path: string, heading: string): Block[] {
  const [, section] = readFileSync(path, "utf8").split(new RegExp(`^###? ${heading}$`, "m"));
  if (section === undefined) throw new Error(`${path} has no heading ${heading}`);
  const [text = ""] = section.split(/^###? /m);
  return [...text.matchAll(/^( *)```(\w+)\n(.*?)^ *```$/gms)].map(
    ([, indentation = "", language = "", block = ""]) => ({
      language,
      text: block.replaceAll(new RegExp(`^${indentation}`, "gm"), ""),
    }),
  );
}

/** The commands of a block of shell, each in one line and without its comment. */
export function commandsOf({ text }: Block): string[] {
  return text
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .map((line) => line.replace(/\s+# .*$/, "").trim())
    .filter((line) => line !== "");
}
