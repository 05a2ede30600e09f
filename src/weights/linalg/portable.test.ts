import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { builtProgram } from "../../../test/support/build-programs.ts";

const program = fileURLToPath(builtProgram("portable-program"));

describe("the portable backend", () => {
  it.each(["elements", "rows", "columns"])("comes to an end where all %s are alike", async (kind) => {
    const { stdout } = await promisify(execFile)(process.execPath, [program, kind], { timeout: 300_000 });
    expect(JSON.parse(stdout)).toEqual([true, true]);
  });
});
