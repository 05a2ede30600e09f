import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../base/core/index.ts";
import { createWordTokenizer, parseTokenizer, specialTokens } from "./tokenizer.ts";

const words = ["play", "10", "+", "(", ")", "=", "Ω", "2", "__proto__", "constructor"];
const tokenizer = createWordTokenizer(words);
const wordLists: fc.Arbitrary<string[]> = fc.array(fc.constantFrom(...words), { maxLength: 20 });

describe("createWordTokenizer()", () => {
  it("gives words the ids after the special tokens, in their order", () => {
    expect(tokenizer.encode(words.join(" "))).toEqual(words.map((_, index) => index + 3));
  });

  it("gives back every text of its words", () => {
    fc.assert(
      fc.property(wordLists, (list) => {
        const text = list.join(" ");
        const tokens = tokenizer.encode(text);
        expect(tokens).toHaveLength(list.length);
        expect(tokenizer.decode(tokens)).toBe(text);
      }),
    );
  });

  it("adds nothing before or after, also to an empty text", () => {
    expect(tokenizer.encode("")).toEqual([]);
    expect(tokenizer.decode([])).toBe("");
  });

  it("gives an unknown word the id of <unk>", () => {
    expect(tokenizer.encode("play nonsense 10")).toEqual([3, specialTokens.unknown.id, 4]);
  });

  it("leaves special tokens out of decoded text", () => {
    const { pad, end } = specialTokens;
    expect(tokenizer.decode([3, end.id, pad.id, pad.id])).toBe("play");
    expect(tokenizer.decode([end.id])).toBe("");
  });

  it("has the ids 0, 1, 2 for padding, end and unknown", () => {
    expect(tokenizer.encode("<pad> <eos> <unk>")).toEqual([0, 1, 2]);
  });

  it("describes itself as standard word-level JSON", () => {
    const description: unknown = JSON.parse(tokenizer.files["tokenizer.json"]!);
    expect(description).toMatchObject({
      version: "1.0",
      model: {
        type: "WordLevel",
        unk_token: "<unk>",
        vocab: { "<pad>": 0, "<eos>": 1, "<unk>": 2, play: 3 },
      },
      pre_tokenizer: { type: "WhitespaceSplit" },
    });
    expect(description).toHaveProperty(
      "added_tokens",
      ["<pad>", "<eos>", "<unk>"].map((content, id) =>
        expect.objectContaining({ id, content, special: true }),
      ),
    );
    expect(JSON.parse(tokenizer.files["tokenizer_config.json"]!)).toMatchObject({
      tokenizer_class: "PreTrainedTokenizerFast",
      eos_token: "<eos>",
      pad_token: "<pad>",
      unk_token: "<unk>",
    });
  });
});

describe("parseTokenizer()", () => {
  it("reads the files of a tokenizer as the same tokenizer", () => {
    const again = parseTokenizer(tokenizer.files, "here");
    expect(again.files).toEqual(tokenizer.files);
    fc.assert(
      fc.property(wordLists, (list) => {
        const text = `${list.join(" ")} <eos> other`;
        expect(again.encode(text)).toEqual(tokenizer.encode(text));
      }),
    );
  });

  it("lists the words that it does not know, and takes the unknown token itself for known", () => {
    const text = "play  other\nthing 10 <unk> <eos>";
    expect(tokenizer.listUnknown(text)).toEqual(["other", "thing"]);
    expect(tokenizer.listUnknown("play 10 <unk>")).toEqual([]);
    const { model, ...rest } = JSON.parse(tokenizer.files["tokenizer.json"]!);
    const complete = { ...rest, model: { ...model, unk_token: null } };
    const knowing = parseTokenizer({ "tokenizer.json": JSON.stringify(complete) }, "here");
    expect(knowing.listUnknown("play 10")).toEqual([]);
  });

  it("does not need a tokenizer_config.json", () => {
    const again = parseTokenizer({ "tokenizer.json": tokenizer.files["tokenizer.json"]! }, "here");
    expect(again.encode("play 10")).toEqual([3, 4]);
    expect(again.decode([3, 4, 1])).toBe("play 10");
  });

  /** By tokenizers 0.23.3 of Python. */
  const cuts = {
    "each numeral of Unicode by itself": {
      pre: { type: "Digits", individual_digits: true },
      text: "12½²a１Ⅷ",
      tokens: ["1", "2", "½", "²", "a", "１", "Ⅷ"],
    },
    "numerals from the rest": {
      pre: { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: false }] },
      text: "12½²a１Ⅷ",
      tokens: ["12½²", "a", "１Ⅷ"],
    },
    "a text by the pattern of GPT-2, with the spaces of Unicode": {
      pre: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      text: "it's  \ufeff\u0085 12",
      tokens: ["it", "'s", "Ġ", "Ġï»¿", "Âħ", "Ġ12"],
    },
  } as const;
  it.each(Object.entries(cuts))("cuts %s", (_, { pre, text, tokens }) => {
    const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
    const description = {
      ...JSON.parse(tokenizer.files["tokenizer.json"]!),
      ...{ added_tokens: [], pre_tokenizer: pre, model: { type: "WordLevel", vocab, unk_token: "1" } },
    };
    const cutting = parseTokenizer({ "tokenizer.json": JSON.stringify(description) }, "here");
    expect(cutting.encode(text)).toEqual([...tokens.keys()]);
  });

  const malformed: Readonly<Record<string, Record<string, string>>> = {
    "a missing tokenizer.json": {},
    "text that is not valid JSON": { "tokenizer.json": "{" },
    "JSON that is not an object": { "tokenizer.json": "null" },
    "an object without a model": { "tokenizer.json": "{}" },
    "a model of unknown type": { "tokenizer.json": '{"model": {"type": "Rune", "vocab": {}}}' },
    "a config that is not valid JSON": { ...tokenizer.files, "tokenizer_config.json": "{" },
  };
  for (const [what, files] of Object.entries(malformed))
    it(`refuses ${what} and names the source`, () => {
      expect(() => parseTokenizer(files, "some/folder")).toThrow(UsageError);
      expect(() => parseTokenizer(files, "some/folder")).toThrow("some/folder");
    });
});

describe("encodePrompt()", () => {
  it.each([
    [
      "begins with what the post-processor puts before a text, and with nothing that it puts behind",
      [1, 3, 4],
    ],
    ["adds nothing where there is no post-processor", [3, 4]],
  ])("%s", (_, expected) => {
    const plain = createWordTokenizer(words);
    const description: object = JSON.parse(plain.files["tokenizer.json"]!);
    const special = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
    const text = { Sequence: { id: "A", type_id: 0 } };
    const post_processor = {
      type: "TemplateProcessing",
      single: [special("<eos>"), text, special("<pad>")],
      pair: [special("<eos>"), text, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: {
        "<eos>": { id: "<eos>", ids: [1], tokens: ["<eos>"] },
        "<pad>": { id: "<pad>", ids: [0], tokens: ["<pad>"] },
      },
    };
    const isBegun = expected.length === 3;
    const files = {
      ...plain.files,
      "tokenizer.json": JSON.stringify({ ...description, ...(isBegun && { post_processor }) }),
    };
    const begun = parseTokenizer(files, "a test");
    expect(begun.encodePrompt("play 10")).toEqual(expected);
    expect(begun.encode("play 10")).toEqual([3, 4]);
  });
});
