/** What servers say, made fit for a terminal and a file: no escape sequences, no control characters, no keys. */

const start = String.fromCharCode(27);
const bell = String.fromCharCode(7);

/** Escape sequences of terminals: with parameters (CSI), with a text (OSC and its like), and short ones. */
const escapes = new RegExp(
  [
    `${start}\\[[0-?]*[ -/]*[@-~]`,
    `${start}[\\]PX^_][^${bell}${start}]*(?:${bell}|${start}\\\\)?`,
    `${start}[ -/]*[0-~]?`,
  ].join("|"),
  "g",
);

/** Control characters but tab and line feed, and marks that turn the direction of a text. */
const controls = /(?![\t\n])[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A text without escape sequences, control characters (but tab and line feed) and marks that turn its direction. */
export function stripControls(text: string): string {
  return text.replaceAll(escapes, "").replaceAll(controls, "");
}

/** A text in which a key, wherever it appears, is three stars. */
export function maskKey(text: string, key: string | undefined): string {
  return key === undefined || key === "" ? text : text.replaceAll(key, "***");
}
