/**
 * Draws the outcome that `untwist show RUN` prints on a terminal as an SVG picture, for the README.
 * Run: npx tsx tools/draw-summary.ts RUN docs/summary.svg
 */
import { writeFileSync } from "node:fs";
import { colorPaint } from "../src/cli/screen/paint.ts";
import { formatOutcome } from "../src/cli/screen/summary-screen.ts";
import { openRunFolder } from "../src/run/index.ts";

const [fontSize, characterWidth, lineHeight, margin] = [14, 8.43, 19, 18];
const numColumns = 128;

/** Foreground colours by SGR code, on the dark background below. */
const colors: Readonly<Record<string, string>> = {
  "94": "#6cb6ff",
  "93": "#f2b843",
  "92": "#6bc46d",
  "91": "#ff7b72",
  "90": "#8b949e",
};
const [background, foreground] = ["#0d1117", "#e6edf3"];

interface Run {
  readonly text: string;
  readonly color: string;
  readonly isBold: boolean;
}

/** A line of terminal output as runs of one colour. */
function parseLine(line: string): readonly Run[] {
  const runs: Run[] = [];
  let [color, isBold] = [foreground, false];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character
  for (const part of line.split(/(\u001b\[[0-9;]*m)/)) {
    const code = part.startsWith("\u001b[") ? part.slice(2, -1) : undefined;
    if (code === undefined) runs.push({ text: part, color, isBold });
    else if (code === "1") isBold = true;
    else if (code === "22") isBold = false;
    else color = colors[code] ?? foreground;
  }
  return runs.filter(({ text }) => text !== "");
}

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** One text element a run, placed by column, so that the picture does not depend on the font's widths. */
function drawLine(line: string, row: number): string {
  let column = 0;
  return parseLine(line)
    .map(({ text, color, isBold }) => {
      const x = (margin + column * characterWidth).toFixed(1);
      const length = [...text].length;
      column += length;
      if (text.trim() === "") return "";
      const weight = isBold ? ' font-weight="bold"' : "";
      const width = (length * characterWidth).toFixed(1);
      return `<text x="${x}" y="${margin + (row + 0.8) * lineHeight}" fill="${color}"${weight} textLength="${width}" xml:space="preserve">${escapeXml(text)}</text>`;
    })
    .join("");
}

const [runPath, target] = process.argv.slice(2);
if (runPath === undefined || target === undefined)
  throw new TypeError("Usage: draw-summary.ts RUN TARGET.svg");
const summary = await (await openRunFolder(runPath)).readSummary();
if (summary === undefined) throw new RangeError(`Cannot draw "${runPath}": the run is not finished`);
const lines = [
  `\u001b[90m$\u001b[39m untwist show ${runPath}`,
  "",
  ...formatOutcome(summary, { paint: colorPaint, width: numColumns }),
];
const [width, height] = [2 * margin + numColumns * characterWidth, 2 * margin + lines.length * lineHeight];
const title = "ID and OOD accuracy over SFT and RL branches, with forgetting and recovery";
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width.toFixed(0)} ${height}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="${fontSize}" role="img" aria-label="${title}">
<title>${title}</title>
<rect width="100%" height="100%" rx="8" fill="${background}"/>
${lines.map(drawLine).join("\n")}
</svg>
`;
writeFileSync(target, svg);
