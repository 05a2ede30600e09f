/** The model that a checkpoint says it was trained from. */
import { join } from "node:path";
import { parsePythonJson, toObject } from "../../base/core/index.ts";
import { fileExists, readText } from "../../base/file/index.ts";
import { findBaseFolder, isAdapterFolder, readAdapterConfig } from "../../weights/checkpoint/index.ts";

/** As its adapter, its configuration or its model card says, in this order: a folder, or a name. */
export async function readBase(
  { folder, isAdapter }: { readonly folder: string; readonly isAdapter: boolean },
  home: string,
): Promise<string | undefined> {
  if (isAdapter && (await isAdapterFolder(folder))) {
    const config = await readAdapterConfig(folder);
    return (await findBaseFolder(folder, config)) ?? config.base;
  }
  const named = await readNamed(join(folder, "config.json"));
  if (named !== undefined) return named;
  for (const place of [folder, home]) {
    const card = join(place, "README.md");
    if (!(await fileExists(card))) continue;
    const [, base] = /^base_model:[ \t]*['"]?([^'"\r\n]+?)['"]?[ \t]*$/m.exec(await readText(card)) ?? [];
    if (base !== undefined) return base;
  }
  return undefined;
}

/** `_name_or_path` of a configuration. */
async function readNamed(file: string): Promise<string | undefined> {
  if (!(await fileExists(file))) return undefined;
  try {
    const { _name_or_path: named } = toObject(parsePythonJson(await readText(file)));
    return typeof named === "string" && named !== "" ? named : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
