/**
 * Numbers as people and models write them: any minus sign, digits of any script, thousands in groups, decimal commas, fractions,
 * powers, currencies and LaTeX. Numbers in words ("six", "1.2 million") are left out.
 */

/** A number in a text. */
export interface WrittenNumber {
  /** As written, with its sign. */
  readonly text: string;
  readonly value: number;
  /** Where it stands, sign included, up to its end. */
  readonly start: number;
  readonly end: number;
  /** Whether it holds a comma that may part decimals, or two numbers. */
  readonly isAmbiguous: boolean;
}

const minusSigns = /[\u2010-\u2014\u2212\ufe63]/g;
const wideSpaces = /[\t\u00a0\u2000-\u200a\u202f\u205f\u3000]/g;
const superscripts = /(\u207b?)([\u00b2\u00b3\u00b9\u2070\u2074-\u2079]+)/g;
const vulgarFractions = /(\d?)([\u00bc-\u00be\u2150-\u215e])/g;

/** The text with one spelling of what has many: ASCII digits, "-" for every minus, "1/2" for every simple fraction, "^2" for ². */
export function unifySigns(text: string): string {
  const spelled = text
    .replaceAll(/[\uff01-\uff5e]/g, (sign) => String.fromCodePoint((sign.codePointAt(0) ?? 0) - 0xfee0))
    .replaceAll(/(?![0-9])\p{Nd}/gu, toDigit)
    .replaceAll(minusSigns, "-")
    .replaceAll(
      superscripts,
      (_, minus: string, run: string) => `^${minus === "" ? "" : "-"}${run.normalize("NFKD")}`,
    )
    .replaceAll(vulgarFractions, (_, digit: string, sign: string) =>
      append(digit, sign.normalize("NFKD").replace("\u2044", "/")),
    )
    .replaceAll(/[\u2044\u2215]/g, "/")
    .replaceAll(wideSpaces, " ")
    .replaceAll("\u2019", "'");
  return unifyMarkup(spelled);
}

/** The digit that a decimal digit of another script means: in Unicode each script has its ten in a row, zero first. */
function toDigit(sign: string): string {
  const code = sign.codePointAt(0) ?? 0;
  let zero = code;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
  return String((code - zero) % 10);
}

/** A fraction behind a whole number is a part of it: "1 1/2". */
function append(digit: string, fraction: string): string {
  return digit === "" ? fraction : `${digit} ${fraction}`;
}

/** LaTeX for numbers, rewritten as plain text; all other commands stay. */
function unifyMarkup(text: string): string {
  const braced = String.raw`\{\s*([-+]?\d+(?:\.\d+)?)\s*\}`;
  return text
    .replaceAll(/\\([$%])/g, "$1")
    .replaceAll(/\{,\}(?:\\!)?|,\\!/g, ",")
    .replaceAll(/(?<=\d)\\[,;: ](?=\d)/g, " ")
    .replaceAll(/\\(?:times|cdot)(?![A-Za-z])/g, "×")
    .replaceAll(new RegExp(String.raw`\^\s*${braced}`, "g"), "^$1")
    .replaceAll(
      new RegExp(String.raw`(\d?)\\[dtc]?frac\s*${braced}\s*${braced}`, "g"),
      (_, digit: string, over: string, under: string) => append(digit, `${over}/${under}`),
    )
    .replaceAll(/(\d?)\\[dtc]?frac\s*(\d)\s*(\d)/g, (_, digit: string, over: string, under: string) =>
      append(digit, `${over}/${under}`),
    );
}

/** Digits without a sign: in groups of three, with a decimal comma, or plain. Exponents and indexes (x^2, x_1) are not numbers. */
const plain: RegExp = new RegExp(
  String.raw`(?<!\d|\^\{?[-+]?|[\p{L})}]_\{?[-+]?)(?:${[
    String.raw`\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?`,
    String.raw`\d{1,3}(?:([ '_])\d{3})(?:\1\d{3})*(?!\d)(?:[.,]\d+)?`,
    String.raw`\d{1,3}(?:\.\d{3})+,\d+(?![\d,])`,
    String.raw`\d{1,3}(?:\.\d{3}){2,}(?![\d.])`,
    String.raw`(?<!\d,)\d+,\d+(?![\d,])`,
    String.raw`\d+(?:\.\d+)?(?:[eE][-+]?\d+(?![\p{L}\d]))?`,
    String.raw`(?<![\p{L}\d.])\.\d+(?:[eE][-+]?\d+(?![\p{L}\d]))?`,
  ].join("|")})`,
  "gu",
);

/** The numbers of a text whose signs are unified, in order. Takes time linear in the text's length. */
export function readNumbers(text: string): readonly WrittenNumber[] {
  const numbers: WrittenNumber[] = [];
  const reader = new RegExp(plain);
  for (let found = reader.exec(text); found !== null; found = reader.exec(text)) {
    const { index, 0: digits } = found;
    const isPair = isListed(text, index, reader.lastIndex) && /^\d+,\d+$/.test(digits) && !isGrouped(digits);
    if (isPair) reader.lastIndex = index + digits.indexOf(",");
    const written = isPair ? digits.slice(0, digits.indexOf(",")) : digits;
    const { value, end } = readFactors(text, reader.lastIndex, toValue(written));
    reader.lastIndex = end;
    const { start, isNegative } = findSign(text, index);
    numbers.push({
      text: text.slice(start, end),
      value: isNegative ? -value : value,
      start,
      end,
      isAmbiguous: written.includes(",") && !isGrouped(written) && !written.includes("."),
    });
  }
  return numbers;
}

/** A number that is all there is in a text; `undefined` for anything else. */
export function readWholeNumber(text: string): WrittenNumber | undefined {
  const unified = unifySigns(text).trim();
  const [only, ...others] = readNumbers(unified);
  if (only === undefined || others.length > 0) return undefined;
  const rest = unified.slice(0, only.start) + unified.slice(only.end);
  return /^[+$€£¥%\s]*$/.test(rest) ? only : undefined;
}

function isGrouped(digits: string): boolean {
  return /^\d{1,3}(?:,\d{3})+(?:\.\d+)?$/.test(digits);
}

/** Whether the digits alone stand in brackets, as the coordinates (3,4) do. */
function isListed(text: string, start: number, end: number): boolean {
  return (
    /[([]\s*$/.test(text.slice(Math.max(0, start - 4), start)) && /^\s*[)\]]/.test(text.slice(end, end + 4))
  );
}

function toValue(digits: string): number {
  const bare = digits.replaceAll(/[ '_]/g, "");
  if (isGrouped(bare)) return Number(bare.replaceAll(",", ""));
  // A comma that parts no groups of three parts the decimals; then points part the groups, as do two of them.
  if (bare.includes(",")) return Number(bare.replaceAll(".", "").replace(",", "."));
  return Number((bare.match(/\./g) ?? []).length > 1 ? bare.replaceAll(".", "") : bare);
}

/** What follows a number and belongs to it: a power, "× 10^5", "/ 2", or "1/2" of a mixed number. */
const powers = /\s?\^\s?([-+]?\d+)/y;
const scales = /\s?[x×*]\s?10\s?\^\s?([-+]?\d+)/y;
const divisors = /\s?\/\s?(\d+(?:\.\d+)?)(?![\d/]|[.,]\d|\s?\/)/y;
const properFractions = / (\d+)\/(\d+)(?![\d/])/y;

function readFactors(
  text: string,
  end: number,
  value: number,
): { readonly value: number; readonly end: number } {
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = end;
    return pattern.exec(text);
  };
  const scaled = take(scales);
  if (scaled !== null) return { value: Number(`${value}e${scaled[1]}`), end: scales.lastIndex };
  const raised = take(powers);
  if (raised !== null) return { value: raise(value, Number(raised[1])), end: powers.lastIndex };
  const mixed = take(properFractions);
  if (mixed !== null && Number.isInteger(value) && Number(mixed[1]) < Number(mixed[2]))
    return { value: value + Number(mixed[1]) / Number(mixed[2]), end: properFractions.lastIndex };
  const isDate = /\/\s?\d+$/.test(text.slice(Math.max(0, end - 12), end));
  const divided = isDate ? null : take(divisors);
  if (divided !== null) return { value: value / Number(divided[1]), end: divisors.lastIndex };
  return { value, end };
}

/** Powers of ten as decimal digits mean them: 10 ** -5 is not 1e-5. */
function raise(base: number, exponent: number): number {
  return base === 10 ? Number(`1e${exponent}`) : base ** exponent;
}

/** Whether a minus before a number is its sign, not an operation (7 - 5), a range (3-5) or the mark of a list (- 5 apples). */
function findSign(text: string, index: number): { readonly start: number; readonly isNegative: boolean } {
  const before = text.slice(Math.max(0, index - 24), index);
  if (/\b(?:negative|minus)\s+[$€£¥]?$/i.test(before))
    return { start: index, isNegative: !/[\d)]\s*(?:negative|minus)\s+[$€£¥]?$/i.test(before) };
  const [all = "", sign, gap = ""] = /([-+])(\s*)[$€£¥]?\s?\{?$/.exec(before) ?? [];
  if (sign === undefined) return { start: index, isNegative: false };
  const left = before.slice(0, before.length - all.length);
  const line = left.slice(left.lastIndexOf("\n") + 1);
  const [last = ""] = line.trimEnd().slice(-1);
  const isAttached = line !== "" && line.trimEnd() === line;
  const isSign =
    gap !== ""
      ? /[=≈<>:([{$]/.test(last)
      : isAttached
        ? !/[\p{L}\p{N})\]}%'"]/u.test(last)
        : !/[\p{N})\]}]/u.test(last);
  return isSign
    ? { start: index - all.length, isNegative: sign === "-" }
    : { start: index, isNegative: false };
}
