/** Several files opened at once. */
import { type ByteSource, openByteSource } from "../../../base/file/index.ts";
import { expectReadable } from "../checkpoint-error.ts";

/** Opens several files, all or none. */
export async function openAll(
  paths: readonly string[],
): Promise<{ readonly sources: readonly ByteSource[]; readonly close: () => Promise<void> }> {
  const sources: ByteSource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.close()));
  };
  try {
    for (const path of paths) sources.push(await expectReadable(path, openByteSource(path)));
    return { sources, close };
  } catch (error) {
    await close();
    throw error;
  }
}
