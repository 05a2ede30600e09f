/** file: the only room below `run` that touches the disk: atomic writes, JSON lines, ranged reads. */
export {
  type FileContent,
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
export {
  type JsonLinesWriter,
  openJsonLines,
  readJsonLines,
  truncateJsonLines,
} from "./json-lines.ts";
export { removeDeadTemporaries, removeTemporaries } from "./leftover.ts";
export { BusyError, findHolder, type Lock, takeLock } from "./lock.ts";
export { type ParquetColumn, writeParquet } from "./parquet.ts";
export { hasCode, isDiskProblem } from "./path-problem.ts";
export { readSealed, type SealedText, writeSealed } from "./sealed-text.ts";
export { isTemporary } from "./temporary-name.ts";
export { listZip, type ZipEntry } from "./zip.ts";
