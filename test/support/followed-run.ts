/** A run that follows another trainer: its checkpoints lie where a test has put them, and nobody asked them anything yet. */
import {
  createRunFolder,
  type FollowRecipe,
  followDefaults,
  type LineageEntry,
  type RunFolder,
  schemaVersion,
} from "../../src/run/index.ts";

/** Creates the run of an SFT; its checkpoints by id in their order, the first of them the base, each with its folder. */
export async function createFollowedRun(
  path: string,
  checkpoints: Readonly<Record<string, string>>,
  more: Partial<FollowRecipe> = {},
): Promise<RunFolder> {
  const recipe: FollowRecipe = {
    name: "followed",
    summary: "The training of somebody else",
    seed: 1,
    follow: { trainings: [{ folder: "sft", stage: "sft" }] },
    promptFormat: "chat",
    ...followDefaults,
    ...more,
  };
  const record = {
    schema: schemaVersion,
    recipe: recipe.name,
    seed: 1,
    numThreads: 1,
    versions: {},
  } as const;
  const folder = await createRunFolder(path, recipe, record);
  const entries = Object.entries(checkpoints);
  await folder.writeLineage(
    entries.map(([id, place], step): LineageEntry => {
      const parent = entries[step - 1]?.[0];
      const stage = parent === undefined ? "base" : "sft";
      return { id, stage, step, path: place, ...(parent !== undefined && { parent }) };
    }),
  );
  return folder;
}
