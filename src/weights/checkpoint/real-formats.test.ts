/** Checkpoints that real libraries wrote: test/golden/savers was made by `python test/peers/savers.py test/golden/savers --few`. */
import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";
import { expectCase, listCases } from "../../../test/support/savers.ts";

const golden = fileURLToPath(new URL("../../../test/golden/savers/", import.meta.url));

describe("openCheckpoint()", () => {
  it.each(listCases(golden))("reads %s as it was written, bit for bit", async (path, expected) => {
    await expectCase(golden, [path, expected]);
  });
});
