/** JSON files as Python writes them, which hold an object. */
import { isObject, parsePythonJson } from "../../../base/core/index.ts";
import { readText } from "../../../base/file/index.ts";
import { CheckpointError, expectReadable } from "../checkpoint-error.ts";

/** Reads a JSON object. Throws `CheckpointError`, with what to do about it, where it is none. */
export async function readJsonFile(path: string, remedy: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await expectReadable(path, readText(path));
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError(`it is not JSON: ${reason}; ${remedy}`, { path, cause });
  }
  if (isObject(value)) return value;
  throw new CheckpointError(`it is not a JSON object; ${remedy}`, { path });
}
