/** `model.safetensors.index.json`: which file of a sharded checkpoint holds which tensor. */
import { CheckpointError } from "../checkpoint-error.ts";
import { isJsonObject, type JsonValue, parseStrictJson } from "./strict-json.ts";

const REMEDY = "download or save the checkpoint again";

/**
 * The shard's file name of every tensor. Throws `CheckpointError` when the text is malformed, lists a tensor twice
 * or names a file outside the checkpoint's folder.
 */
export function parseShardIndex(text: string, path: string): ReadonlyMap<string, string> {
  const index = parseJson(text, path);
  const map = isJsonObject(index) ? index.get("weight_map") : undefined;
  if (!isJsonObject(map)) throw new CheckpointError(`it has no "weight_map"; ${REMEDY}`, { path });
  const shardOf = new Map<string, string>();
  for (const [tensor, shard] of map) {
    if (typeof shard !== "string" || !isPlainName(shard))
      throw new CheckpointError(`its shard is not a file name in the same folder; ${REMEDY}`, {
        path,
        tensor,
      });
    shardOf.set(tensor, shard);
  }
  return shardOf;
}

/** Whether a file name stays in its folder: not empty, no separators, neither `.` nor `..`. */
export function isPlainName(name: string): boolean {
  return (
    name !== "" && name !== "." && name !== ".." && !["/", "\\", "\0"].some((part) => name.includes(part))
  );
}

function parseJson(text: string, path: string): JsonValue {
  try {
    return parseStrictJson(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError(`it is malformed: ${reason}; ${REMEDY}`, { path, cause });
  }
}
