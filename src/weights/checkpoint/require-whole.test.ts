import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder } from "../../../test/support/untwist.ts";
import { openCheckpoint } from "./checkpoint.ts";

const folder = createTemporaryFolder();
afterAll(() => removeFolder(folder));
const golden = fileURLToPath(new URL("../../../test/golden/savers/dcp-hf", import.meta.url));

function copy(name: string, removed: string): string {
  const place = join(folder, name);
  cpSync(golden, place, { recursive: true });
  rmSync(join(place, removed));
  return place;
}

describe("openCheckpoint() of parts that torch.distributed.checkpoint saved for Hugging Face", () => {
  it("refuses them where the last file is missing, which no file tells", async () => {
    const place = copy("last", "shard-00004-model-00001-of-00001.safetensors");
    await expect(openCheckpoint(place)).rejects.toThrow(
      "its parts make up [6, 5], and by config.json it has 7 rows of 5",
    );
  });

  it("refuses them where nothing tells whether one is missing", async () => {
    await expect(openCheckpoint(copy("untold", "config.json"))).rejects.toThrow(
      "put the model's config.json",
    );
  });
});
