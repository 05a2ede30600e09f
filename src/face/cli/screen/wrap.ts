/** Sentences broken into lines at spaces. */

/** Lines of at most `width` characters; the whole text in one where there is no width. */
export function wrapText(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** A sentence, indented below its bullet where it has one. */
export function wrapSentence(sentence: string, width: number | undefined): readonly string[] {
  const indent = sentence.startsWith("• ") ? "  " : "";
  return wrapText(sentence, (width ?? Number.POSITIVE_INFINITY) - indent.length).map((line, index) =>
    index === 0 ? line : indent + line,
  );
}
