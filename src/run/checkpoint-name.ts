/** How checkpoints of a run are named, and where their folders lie. */
import { join } from "node:path";

/** Id of the checkpoint that a recipe's SFT stage starts from. */
export const baseCheckpoint = "base";

/** The path of a checkpoint, relative to its run. */
export function checkpointPath(checkpoint: string): string {
  return join("checkpoints", checkpoint);
}
