/** Text that is kept under a name and carries a checksum over both: damage, or a copy under another name, shows. */
import { createHash } from "node:crypto";
import { UsageError } from "../core/index.ts";
import { writeFileAtomic } from "./atomic-write.ts";
import { readText } from "./byte-source.ts";

/** What is kept: a text, and the name that it is kept under. */
export interface SealedText {
  readonly name: string;
  readonly text: string;
}

/** Writes a text and its checksum. Throws as `writeFileAtomic`. */
export async function writeSealed(path: string, sealed: SealedText): Promise<void> {
  await writeFileAtomic(path, `${computeSeal(sealed)}\n${sealed.text}\n`);
}

/** The text that `writeSealed` wrote under that name. Throws `UsageError` where it is damaged, was copied here, or cannot be read. */
export async function readSealed(path: string, name: string): Promise<string> {
  const content = await readText(path);
  const end = content.indexOf("\n");
  const text = content.slice(end + 1, -1);
  if (computeSeal({ name, text }) !== content.slice(0, end))
    throw new UsageError(`Cannot read "${path}": its checksum is wrong; delete it`);
  return text;
}

function computeSeal({ name, text }: SealedText): string {
  return createHash("sha256").update(`${name}\n${text}`).digest("hex");
}
