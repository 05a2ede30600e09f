/** How a text is cut before its tokens are looked up: what our library cuts otherwise than the original library, said in a way in which it does not. */
import { toObject } from "../../base/core/index.ts";

type Fields = Readonly<Record<string, unknown>>;

/** The pattern of GPT-2, which a ByteLevel pre-tokenizer has unless it is told otherwise. */
const bytePattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/**
 * The contents of a `tokenizer.json` for the library: its "Digits" know those of ASCII only where the original knows every numeral of
 * Unicode (½, ², ١), and its own pattern of bytes takes U+FEFF for a space and U+0085 for none. Patterns of a "Split" it reads right.
 */
export function mendPreTokenizer(tokenizer: Fields): Fields {
  return "pre_tokenizer" in tokenizer
    ? { ...tokenizer, pre_tokenizer: mend(tokenizer.pre_tokenizer) }
    : tokenizer;
}

function mend(value: unknown): unknown {
  const { type, pretokenizers, ...fields } = toObject(value);
  if (type === "Sequence" && Array.isArray(pretokenizers))
    return { type, ...fields, pretokenizers: pretokenizers.map(mend) };
  if (type === "Digits") return split(fields.individual_digits === true ? "\\p{N}" : "\\p{N}+");
  // A space that is put first would be put before each part.
  if (type === "ByteLevel" && fields.use_regex !== false && fields.add_prefix_space === false)
    return { type: "Sequence", pretokenizers: [split(bytePattern), { type, ...fields, use_regex: false }] };
  return value;
}

/** Cuts a text before and behind each match. */
function split(pattern: string): Fields {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}
