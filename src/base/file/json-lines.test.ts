import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../core/index.ts";
import { openJsonLines, readJsonLines, truncateJsonLines } from "./json-lines.ts";

let folder = "";
let path = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-lines-"));
  path = join(folder, "metrics.jsonl");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function append(path: string, value: unknown): Promise<void> {
  const writer = await openJsonLines(path);
  await writer.append(value);
  await writer.close();
}

describe("openJsonLines()", () => {
  it("appends any JSON values in the order of the calls, over several openings", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue(), { maxLength: 6 }), fc.nat(6), async (values, split) => {
        for (const part of [values.slice(0, split), values.slice(split)]) {
          const writer = await openJsonLines(path);
          await Promise.all(part.map((value) => writer.append(value)));
          await writer.close();
        }
        expect(await readJsonLines(path)).toEqual(JSON.parse(JSON.stringify(values)));
        await rm(path);
      }),
      { numRuns: 40 },
    );
  });

  it("cuts a torn last line off before it goes on, wherever the crash fell", async () => {
    const whole = '{"step":1}\n{"step":2,"name":"größe"}\n';
    const bytes = new TextEncoder().encode(whole);
    for (let length = 0; length <= bytes.length; length++) {
      await writeFile(path, bytes.subarray(0, length));
      const before = await readJsonLines(path);
      await append(path, { step: 3 });
      expect(await readJsonLines(path)).toEqual([...before, { step: 3 }]);
    }
  });

  it("keeps a whole last line that only lacks its line end", async () => {
    await writeFile(path, '{"step":1}\n{"step":2}');
    await append(path, { step: 3 });
    expect(await readFile(path, "utf8")).toBe('{"step":1}\n{"step":2}\n{"step":3}\n');
  });

  it("reads a value during the call, and refuses what JSON cannot hold", async () => {
    const writer = await openJsonLines(path);
    const value = { step: 1 };
    const appended = writer.append(value);
    value.step = 2;
    await appended;
    await expect(writer.append(undefined)).rejects.toThrow(TypeError);
    await writer.append({ step: 3 });
    await writer.sync();
    await writer.close();
    expect(await readJsonLines(path)).toEqual([{ step: 1 }, { step: 3 }]);
  });

  it("refuses to append to a file that is malformed before its last line", async () => {
    await writeFile(path, "{\n{}\n");
    await expect(openJsonLines(path)).rejects.toThrow(SyntaxError);
    expect(await readFile(path, "utf8")).toBe("{\n{}\n");
  });

  it("leaves a file alone whose only line is torn and cannot be ours", async () => {
    for (const text of ["my thesis", "step 1, loss 2", "{'a': 1}", '{"a": NaN}', "[1, 2", "1.5"]) {
      await writeFile(path, text);
      await expect(openJsonLines(path)).rejects.toThrow(`Cannot read line 1 of "${path}"`);
      expect(await readFile(path, "utf8")).toBe(text);
    }
  });

  it("says so when the path is a folder", async () => {
    await expect(openJsonLines(folder)).rejects.toThrow(UsageError);
  });
});

describe("readJsonLines()", () => {
  it("drops one torn last line, a half number included", async () => {
    await writeFile(path, "1\n2\n12");
    expect(await readJsonLines(path)).toEqual([1, 2]);
    await appendFile(path, "3\n");
    expect(await readJsonLines(path)).toEqual([1, 2, 123]);
  });

  it("names the line of any other malformed text", async () => {
    await writeFile(path, '{"a":1}\n\n{"a":\n{"a":3}\n');
    await expect(readJsonLines(path)).rejects.toThrow(SyntaxError);
    await expect(readJsonLines(path)).rejects.toThrow(`Cannot read line 3 of "${path}": `);
    await writeFile(path, Buffer.from([0x22, 0xff, 0x22, 0x0a]));
    await expect(readJsonLines(path)).rejects.toThrow(`Cannot read line 1 of "${path}": `);
  });

  it("says so when the file is missing", async () => {
    await expect(readJsonLines(path)).rejects.toThrow(
      new UsageError(`Cannot read "${path}": no such file or folder; check the path`),
    );
  });
});

describe("truncateJsonLines()", () => {
  it("keeps the accepted lines byte for byte and drops a torn one", async () => {
    await writeFile(path, '{ "step": 1.0 }\n{"step":2}\n\n{"step":3}\n{"ste');
    await truncateJsonLines(path, (value) => JSON.stringify(value) !== '{"step":2}');
    expect(await readFile(path, "utf8")).toBe('{ "step": 1.0 }\n{"step":3}\n');
  });
});
