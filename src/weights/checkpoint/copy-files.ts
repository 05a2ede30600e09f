/** Files beside a checkpoint's weights, copied: a tokenizer with its template as a whole. */
import {
  folderExists,
  listFiles,
  openByteSource,
  removeFile,
  writeFileAtomic,
} from "../../base/file/index.ts";
import { readJsonFile } from "./config/read-json.ts";

const VOCABULARY = /^(?:tokenizer\.json|vocab\.(?:json|txt)|.*\.model)$/;
/** What a vocabulary comes with. */
const COMPANION = /^(?:tokenizer.*|special_tokens_map\.json|added_tokens\.json|merges\.txt)$/;
const TEMPLATE = /^chat_template\./;
const GENERATION = /^generation_config\.json$/;
const SETTINGS_NAME = "tokenizer_config.json";

const isOneOf = (name: string, ...patterns: readonly RegExp[]): boolean =>
  patterns.some((pattern) => pattern.test(name));

/**
 * Copies the files of a tokenizer into a folder, where there are any. They take the place of those that are there already: of one tokenizer
 * half, or its template beside that of another, would be a third one. Throws `CheckpointError` for settings that are not valid JSON.
 */
export async function copyTokenizer(place: string, folder: string): Promise<void> {
  if (!(await folderExists(place))) return;
  const names = (await listFiles(place)).filter((name) =>
    isOneOf(name, VOCABULARY, COMPANION, TEMPLATE, GENERATION),
  );
  const isWhole = names.some((name) => isOneOf(name, VOCABULARY));
  const hasTemplate = await findTemplate(place, names);
  for (const name of await listFiles(folder)) {
    const isReplaced = isOneOf(name, TEMPLATE)
      ? hasTemplate
      : isWhole && isOneOf(name, VOCABULARY, COMPANION);
    if (isReplaced) await removeFile(`${folder}/${name}`);
  }
  for (const name of names) await copyFile(place, { name, folder });
}

/** Whether a tokenizer's files hold a chat template, as a file or in its settings. */
async function findTemplate(place: string, names: readonly string[]): Promise<boolean> {
  if (names.some((name) => isOneOf(name, TEMPLATE))) return true;
  if (!names.includes(SETTINGS_NAME)) return false;
  const settings = await readJsonFile(`${place}/${SETTINGS_NAME}`, "correct the file or download it again");
  return settings.chat_template !== undefined && settings.chat_template !== null;
}

/** Copies a file of one folder into another, whole or not at all. */
export async function copyFile(
  place: string,
  { name, folder }: { readonly name: string; readonly folder: string },
): Promise<void> {
  await writeFileAtomic(`${folder}/${name}`, readChunks(`${place}/${name}`));
}

/** Bytes copied at a time. */
export const COPIED_BYTES = 16 * 2 ** 20;

async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, void> {
  const source = await openByteSource(path);
  try {
    for (let start = 0; start < source.size; start += COPIED_BYTES)
      yield await source.read(start, Math.min(start + COPIED_BYTES, source.size));
  } finally {
    await source.close();
  }
}
