/** Atomic writes, JSON lines, ranged reads and file formats: how rooms without effects of their own reach the disk. */
export {
  type FolderRule,
  TakenError,
  writeFileAtomic,
  writeFileIfChanged,
  writeFolderAtomic,
} from "./atomic-write.ts";
export { type ByteSource, openByteSource, openRange, readBytes, readTail, readText } from "./byte-source.ts";
export {
  ensureWritableFolder,
  fileExists,
  findFiles,
  folderExists,
  isEmptyFolder,
  listFiles,
  listFolders,
  listNames,
  pathExists,
  readFileTime,
  removeFile,
  requireWritable,
} from "./folder.ts";
export { findNewestMs, resolveLinks } from "./folder-facts.ts";
export { type ParquetColumn, writeParquet } from "./format/parquet.ts";
export { encodeEvents, parseEvents, type ScalarEvent } from "./format/tensorboard-events.ts";
export { listZip, type ZipEntry } from "./format/zip.ts";
export { openJsonLines, readJsonLines, truncateJsonLines } from "./json-lines.ts";
export { removeDeadTemporaries, removeTemporaries } from "./leftover.ts";
export { BusyError, findHolder, type Lock, takeLock } from "./lock.ts";
export { hasCode, isDiskProblem } from "./path-problem.ts";
export { readSealed, type SealedText, writeSealed } from "./sealed-text.ts";
export { isTemporary } from "./temporary-name.ts";
