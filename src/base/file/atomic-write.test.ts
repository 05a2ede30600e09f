import { spawnSync } from "node:child_process";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../core/index.ts";
import { TakenError, writeFileAtomic, writeFolderAtomic } from "./atomic-write.ts";
import { removeTemporaries } from "./leftover.ts";
import { createReplacedPath, createTemporaryPath } from "./temporary-name.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-file-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("writeFileAtomic()", () => {
  it("writes text, bytes and chunks alike", async () => {
    const path = join(folder, "new", "deep", "a.txt");
    const bytes = new TextEncoder().encode("größe");
    async function* later(): AsyncGenerator<Uint8Array, void, void> {
      yield bytes.subarray(0, 3);
      yield new Uint8Array(0);
      yield bytes.subarray(3);
    }
    for (const content of ["größe", bytes, [bytes.subarray(0, 3), bytes.subarray(3)], later()]) {
      await writeFileAtomic(path, content);
      expect(await readFile(path, "utf8")).toBe("größe");
      await rm(path);
    }
  });

  it("reads back any bytes in any chunks", async () => {
    const path = join(folder, "bytes");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), async (chunks) => {
        await writeFileAtomic(path, chunks);
        expect(await readFile(path)).toEqual(Buffer.concat(chunks));
      }),
      { numRuns: 30 },
    );
  });

  it("keeps the old content and leaves nothing behind when the chunks fail midway", async () => {
    const path = join(folder, "a.txt");
    await writeFileAtomic(path, "old");
    function* failing(): Generator<Uint8Array, void, void> {
      yield new Uint8Array(10);
      throw new RangeError("broken chunk");
    }
    await expect(writeFileAtomic(path, failing())).rejects.toThrow(new RangeError("broken chunk"));
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["a.txt"]);
  });

  it("says what to do when a folder or a file is in the way", async () => {
    await mkdir(join(folder, "b", "c"), { recursive: true });
    await expect(writeFileAtomic(join(folder, "b"), "x")).rejects.toThrow(
      new UsageError(
        `Cannot write "${join(folder, "b")}": it is a folder, not a file; give the path of a file`,
      ),
    );
    await writeFile(join(folder, "file"), "x");
    await expect(writeFileAtomic(join(folder, "file", "b"), "x")).rejects.toThrow(UsageError);
    expect((await readdir(folder)).sort()).toEqual(["b", "file"]);
  });
});

describe("writeFolderAtomic()", () => {
  it("makes a folder, and replaces one with all its content where it is to", async () => {
    const path = join(folder, "new", "run");
    await writeFolderAtomic(path, async (temporary) => {
      await mkdir(join(temporary, "sub"));
      await writeFile(join(temporary, "sub", "old"), "old");
    });
    expect(await readdir(path)).toEqual(["sub"]);
    const fill = (temporary: string): Promise<void> => writeFile(join(temporary, "new"), "new");
    await expect(writeFolderAtomic(`${path}/`, fill)).rejects.toThrow("the folder is not empty");
    expect(await readdir(path)).toEqual(["sub"]);
    await writeFolderAtomic(`${path}/`, fill, { whenTaken: "replace" });
    expect(await readdir(path)).toEqual(["new"]);
    expect(await readdir(join(folder, "new"))).toEqual(["run"]);
  });

  it("keeps the old folder and leaves nothing behind when filling fails", async () => {
    const path = join(folder, "run");
    await writeFolderAtomic(path, (temporary) => writeFile(join(temporary, "old"), "old"));
    const fill = async (temporary: string): Promise<void> => {
      await writeFile(join(temporary, "half"), "half");
      throw new RangeError("broken");
    };
    const filling = writeFolderAtomic(path, fill, { whenTaken: "replace" });
    await expect(filling).rejects.toThrow(new RangeError("broken"));
    expect(await readdir(path)).toEqual(["old"]);
    expect(await readdir(folder)).toEqual(["run"]);
  });

  it("refuses to replace a file", async () => {
    const path = join(folder, "run");
    await writeFile(path, "mine");
    await expect(writeFolderAtomic(path, async () => {})).rejects.toThrow(
      new TakenError(
        `Cannot write folder "${path}": a file stands where a folder is needed; remove it or give another path`,
      ),
    );
    expect(await readFile(path, "utf8")).toBe("mine");
    expect(await readdir(folder)).toEqual(["run"]);
  });

  it("replaces nothing that came to lie there meanwhile, and keeps what was made beside it", async () => {
    const path = join(folder, "out");
    const fill =
      (meanwhile: () => Promise<unknown>) =>
      async (temporary: string): Promise<void> => {
        await writeFile(join(temporary, "result"), "hours of work");
        await meanwhile();
      };
    const arrive = async (): Promise<void> => {
      await mkdir(path);
      await writeFile(join(path, "thesis"), "mine");
    };
    await expect(writeFolderAtomic(path, fill(arrive))).rejects.toThrow(
      new TakenError(
        `Cannot write folder "${path}": something else has come to lie there meanwhile, and is not replaced; what was made is kept in "${path}-2"`,
      ),
    );
    expect(await readFile(join(path, "thesis"), "utf8")).toBe("mine");
    expect(await readdir(`${path}-2`)).toEqual(["result"]);
    // A file as well, where the next name is taken too; and nothing is kept where that is asked for.
    await rm(path, { recursive: true });
    const file = fill(() => writeFile(path, "mine"));
    await expect(writeFolderAtomic(path, file)).rejects.toThrow(`kept in "${path}-3"`);
    await rm(path);
    await expect(writeFolderAtomic(path, fill(arrive), { whenTaken: "refuse" })).rejects.toThrow(TakenError);
    expect((await readdir(folder)).sort()).toEqual(["out", "out-2", "out-3"]);
    // An empty folder is nobody's loss.
    await writeFolderAtomic(
      join(folder, "empty"),
      fill(() => mkdir(join(folder, "empty"))),
    );
    expect(await readdir(join(folder, "empty"))).toEqual(["result"]);
  });

  it("fills an empty folder behind a link, which stays, and the one in which the process stands", async () => {
    await mkdir(join(folder, "real"));
    await symlink("real", join(folder, "link"));
    const fill = (temporary: string): Promise<void> => writeFile(join(temporary, "result"), "x");
    await writeFolderAtomic(join(folder, "link"), fill);
    expect((await lstat(join(folder, "link"))).isSymbolicLink()).toBe(true);
    expect(await readdir(join(folder, "real"))).toEqual(["result"]);
    const before = process.cwd();
    await mkdir(join(folder, "here"));
    process.chdir(join(folder, "here"));
    try {
      await writeFolderAtomic(".", fill);
      // It is still the folder in which the process stands.
      expect(await readdir(".")).toEqual(["result"]);
      expect(await readdir(join(folder, "here"))).toEqual(["result"]);
    } finally {
      process.chdir(before);
    }
  });

  it("clears what dead processes of this machine left beside it, and nothing of others", async () => {
    const { pid = 0 } = spawnSync("true");
    const path = join(folder, "out");
    const own = basename(createTemporaryPath(path));
    const dead = own.replace(`-${process.pid}-`, `-${pid}-`);
    const elsewhere = dead.replace(
      /^\.untwist-./,
      (start) => `${start.slice(0, -1)}${start.endsWith("0") ? 1 : 0}`,
    );
    const rebooted = own.replace(/^(\.untwist-[0-9a-f]{8}-)[0-9a-f]{8}/, "$100000000");
    const aside = basename(createReplacedPath(join(folder, "old"))).replace(`-${process.pid}-`, `-${pid}-`);
    for (const name of [own, dead, elsewhere, aside, rebooted]) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, "model"), "half");
    }
    await writeFolderAtomic(path, async () => {});
    expect((await readdir(folder)).sort()).toEqual([elsewhere, own, "old", "out"].sort());
  });
});

describe("removeTemporaries()", () => {
  it("deletes leftovers in all folders and nothing else", async () => {
    await mkdir(join(folder, "run", "checkpoint"), { recursive: true });
    await writeFile(join(folder, "run", "mine.tmp"), "mine");
    await writeFile(join(folder, "run", ".untwist-notes.tmp"), "mine");
    await writeFile(createTemporaryPath(join(folder, "run", "a.txt")), "half");
    const halfFolder = createTemporaryPath(join(folder, "run", "checkpoint", "step-1"));
    await mkdir(halfFolder);
    await writeFile(join(halfFolder, "half"), "half");
    await removeTemporaries(folder);
    expect((await readdir(join(folder, "run"))).sort()).toEqual([
      ".untwist-notes.tmp",
      "checkpoint",
      "mine.tmp",
    ]);
    expect(await readdir(join(folder, "run", "checkpoint"))).toEqual([]);
  });

  it("gives a folder its name back when the crash fell between moving it aside and replacing it", async () => {
    const aside = createReplacedPath(join(folder, "step-7"));
    await mkdir(aside);
    await writeFile(join(aside, "weights"), "old");
    await mkdir(createTemporaryPath(join(folder, "step-7")));
    await removeTemporaries(folder);
    expect(await readdir(folder)).toEqual(["step-7"]);
    expect(await readFile(join(folder, "step-7", "weights"), "utf8")).toBe("old");
  });

  it("deletes a folder moved aside once its replacement is there", async () => {
    await mkdir(join(folder, "step-7"));
    await mkdir(createReplacedPath(join(folder, "step-7")));
    await removeTemporaries(folder);
    expect(await readdir(folder)).toEqual(["step-7"]);
  });

  it("does not follow links, and takes a missing folder as clean", async () => {
    const outside = await mkdtemp(join(tmpdir(), "untwist-file-"));
    await writeFile(createTemporaryPath(join(outside, "a")), "theirs");
    await symlink(outside, join(folder, "link"));
    await removeTemporaries(folder);
    expect(await readdir(outside)).toHaveLength(1);
    await removeTemporaries(join(folder, "missing"));
    await rm(outside, { recursive: true });
  });
});
