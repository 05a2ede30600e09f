import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseSync, Visitor } from "oxc-parser";
import { describe, expect, it } from "vitest";
import { readSources, type Source } from "../tools/source.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Entry {
  readonly word: string;
  readonly meaning: string;
  /** Words that must not stand for it. */
  readonly not: readonly string[];
}

function readGlossary(): readonly Entry[] {
  const lines = readFileSync(`${root}/docs/glossary.md`, "utf8").split("\n");
  const [, rule, ...rows] = lines.filter((line) => line.startsWith("|"));
  if (rule !== "|---|---|---|")
    throw new SyntaxError("Cannot read docs/glossary.md: expected a table of three columns");
  return rows.map((row) => {
    const [start, word = "", meaning = "", not = "", end, ...rest] = row
      .split("|")
      .map((cell) => cell.trim());
    if (start !== "" || end !== "" || rest.length > 0)
      throw new SyntaxError(`Cannot read docs/glossary.md: expected three columns in ${row}`);
    return { word, meaning, not: not === "" ? [] : not.split(", ") };
  });
}

/** The documents that users read, without the glossary itself. */
function listDocuments(): readonly string[] {
  const documents = readdirSync(`${root}docs`)
    .filter((name) => name.endsWith(".md") && name !== "glossary.md")
    .map((name) => `docs/${name}`);
  return ["README.md", "ARCHITECTURE.md", ...documents];
}

/** Every string and template literal of a file. */
function listTexts({ file, text }: Source): readonly string[] {
  const texts: string[] = [];
  new Visitor({
    Literal: ({ value }) => {
      if (typeof value === "string") texts.push(value);
    },
    TemplateElement: ({ value }) => {
      texts.push(value.cooked ?? value.raw);
    },
  }).visit(parseSync(file, text).program);
  return texts;
}

/** One sentence for each word of `text`, alone or in the plural, that the glossary has another word for. */
function findForbidden(text: string, entries: readonly Entry[]): readonly string[] {
  return entries.flatMap(({ word, not }) =>
    not
      .filter((each) => new RegExp(`\\b${each}s?\\b`, "i").test(text))
      .map((each) => `"${each}" should be "${word}" in: ${text.slice(0, 200)}`),
  );
}

const entries = readGlossary();

describe("docs/glossary.md", () => {
  it("lists words once, in alphabetical order", () => {
    const words = entries.map(({ word }) => word);
    expect(words.length).toBeGreaterThan(20);
    expect(words).toEqual([...new Set(words)].sort());
  });

  it("explains each word in one line without using a word it rules out", () => {
    for (const { word, meaning } of entries) {
      expect(word).toMatch(/^[a-z][a-z -]*$/);
      expect(meaning, word).toMatch(/^\S.{10,110}[^.]$/);
      expect(findForbidden(meaning, entries)).toEqual([]);
    }
  });

  it("rules out no word twice, and none that it uses", () => {
    const ruledOut = entries.flatMap(({ not }) => not);
    expect(new Set(ruledOut).size).toBe(ruledOut.length);
    expect(ruledOut.filter((each) => entries.some(({ word }) => word === each))).toEqual([]);
  });
});

describe("findForbidden()", () => {
  it("finds a ruled-out word in literals and prose, but not inside another word or in a comment", () => {
    const text = "const experiment = [`a Snapshot`, 'the Experiments', 'gymnastics']; // exercise";
    const texts = listTexts({ file: "src/face/cli/a.ts", text });
    expect(texts.flatMap((each) => findForbidden(each, entries)).sort()).toEqual([
      '"experiment" should be "run" in: the Experiments',
      '"snapshot" should be "checkpoint" in: a Snapshot',
    ]);
  });
});

/** Sentences of a document in running text with more words than a reader takes in at once; brackets and code count as none. */
function findLongSentences(markdown: string): readonly string[] {
  const prose = markdown
    .replaceAll(/```.*?```/gs, "\n\n")
    .replaceAll(/^(?:[|#]).*$/gm, "\n\n")
    .replaceAll(/^ *(?:[-*]|\d+\.) /gm, "\n\n")
    .replaceAll(/`[^`]*`|\[[^\]]*\](?:\([^)]*\))?|\([^()]*\)|"[^"]*"/g, "");
  return prose
    .split(/\n\s*\n|(?<=[.:;!?])\**\s+/)
    .filter((sentence) => sentence.split(/\s+/).filter((word) => /\w/.test(word)).length > 30);
}

describe("findLongSentences()", () => {
  it("counts the words of running text", () => {
    const words = (count: number): string => Array.from({ length: count }, () => "word").join(" ");
    expect(
      findLongSentences(`${words(30)}. ${words(30)} (and ${words(9)}) \`code\`.\n| ${words(40)} |`),
    ).toEqual([]);
    expect(findLongSentences(`Short. ${words(31)}.`)).toEqual([`${words(31)}.`]);
  });
});

describe("what users read", () => {
  it("has no sentence of more than 30 words in a document", () => {
    for (const name of listDocuments())
      expect(findLongSentences(readFileSync(`${root}${name}`, "utf8")), name).toEqual([]);
  });

  it("uses the words of the glossary in all texts of the sources but the names of earlier versions", () => {
    const sources = readSources(root).filter(({ file }) => !/\/old-(?:keys|names)\.ts$/.test(file));
    expect(sources.length).toBeGreaterThan(300);
    // Paths of others are called as others call them.
    const texts = sources.flatMap(listTexts).filter((text) => !/^\/\w+$/.test(text));
    expect(texts.flatMap((text) => findForbidden(text, entries))).toEqual([]);
  });

  it("uses the words of the glossary in every document", () => {
    for (const name of listDocuments()) {
      const lines = readFileSync(`${root}${name}`, "utf8").split("\n");
      expect(
        lines.flatMap((line) => findForbidden(line, entries)),
        name,
      ).toEqual([]);
    }
  });
});
