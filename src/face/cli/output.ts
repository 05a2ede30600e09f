/** Where a command's result goes: text for people or JSON for programs, on standard output. */

import { colorPaint, type Paint, plainPaint } from "./screen/paint.ts";
import { showMessage } from "./wording.ts";

/** A command's way to print. */
export interface Output {
  readonly paint: Paint;
  /** Characters a line of the terminal; absent where the output is none. */
  readonly width?: number;
  /** Prints lines for people, or `value` as JSON where `--json` was given. */
  print(lines: readonly string[], value: unknown): void;
}

/** Columns that the screens are laid out for, at least and at most. */
const narrowest = 40;
const widest = 140;

/** Whether a stream shows colors: a terminal whose user did not ask for none (https://no-color.org). */
export function wantsColor(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && process.env.NO_COLOR === undefined;
}

/** Standard output as a command prints to it. */
export function createOutput({ json = false }: { readonly json?: boolean | undefined }): Output {
  const { stdout } = process;
  return {
    paint: !json && wantsColor(stdout) ? colorPaint : plainPaint,
    ...(stdout.isTTY && { width: Math.min(widest, Math.max(narrowest, stdout.columns)) }),
    print: (lines, value) => {
      const text = json ? JSON.stringify(value, showStrings, 2) : showMessage(lines.join("\n"));
      stdout.write(`${text}\n`);
    },
  };
}

function showStrings(_: string, value: unknown): unknown {
  return typeof value === "string" ? showMessage(value) : value;
}
