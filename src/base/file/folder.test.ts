import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../core/index.ts";
import {
  ensureWritableFolder,
  fileExists,
  folderExists,
  isEmptyFolder,
  listFiles,
  listFolders,
  pathExists,
} from "./folder.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "untwist-folder-"));
  await mkdir(join(folder, "empty"));
  await writeFile(join(folder, "file"), "x");
  await symlink(join(folder, "nowhere"), join(folder, "broken"));
  await symlink(join(folder, "empty"), join(folder, "link"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const answers = async (ask: (path: string) => Promise<boolean>): Promise<Record<string, boolean>> => {
  const names = ["empty", "file", "file/below", "broken", "link", "missing", "."];
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await ask(join(folder, name))] as const)),
  );
};

describe("questions about paths", () => {
  it("tell folders, files, links and nothing apart", async () => {
    const none = {
      empty: false,
      file: false,
      "file/below": false,
      broken: false,
      link: false,
      missing: false,
      ".": false,
    };
    expect(await answers(folderExists)).toEqual({ ...none, empty: true, link: true, ".": true });
    expect(await answers(fileExists)).toEqual({ ...none, file: true });
    expect(await answers(pathExists)).toEqual({
      ...none,
      empty: true,
      file: true,
      broken: true,
      link: true,
      ".": true,
    });
    expect(await answers(isEmptyFolder)).toEqual({ ...none, empty: true, link: true });
  });
});

describe("questions that cannot be answered", () => {
  it("are one sentence: links in a circle, names too long or with a null character", async () => {
    await symlink(join(folder, "circle"), join(folder, "circle"));
    for (const ask of [fileExists, folderExists])
      for (const path of ["circle", "n".repeat(300), "a\0b"])
        await expect(ask(join(folder, path))).rejects.toThrow(UsageError);
  });
});

describe("listFolders()", () => {
  it("lists links to folders as well, and passes over those that lead nowhere", async () => {
    await symlink(join(folder, "circle"), join(folder, "circle"));
    await symlink(join(folder, "file"), join(folder, "to-file"));
    expect(await listFolders(folder)).toEqual(["empty", "link"]);
    expect(await listFiles(folder)).toEqual(["file", "to-file"]);
  });
});

describe("ensureWritableFolder()", () => {
  it("makes the folder and leaves nothing in it", async () => {
    const path = join(folder, "a", "b");
    await ensureWritableFolder(path);
    await ensureWritableFolder(path);
    expect(await readdir(path)).toEqual([]);
    expect(await readdir(join(folder, "a"))).toEqual(["b"]);
  });

  it("explains a file in the way, at the path or above it", async () => {
    for (const path of [join(folder, "file"), join(folder, "file", "below")])
      await expect(ensureWritableFolder(path)).rejects.toThrow(
        new UsageError(
          `Cannot write to folder "${path}": a file stands where a folder is needed; remove it or give another path`,
        ),
      );
  });

  it("explains file systems and names that cannot be written", async () => {
    for (const path of ["/proc/untwist/run", "/proc/self/fd", join(folder, "n".repeat(300)), "a\0b"])
      await expect(ensureWritableFolder(path)).rejects.toThrow(UsageError);
  });
});
