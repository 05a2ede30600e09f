import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTemporaryFolder, removeFolder } from "../../../../test/support/untwist.ts";
import { describeServed, findServed } from "./served-models.ts";

const place = createTemporaryFolder();
const folder = join(place, "model");
beforeAll(async () => {
  await mkdir(folder);
  await symlink(folder, join(place, "link"));
});
afterAll(() => removeFolder(place));

describe("findServed()", () => {
  it("finds the model that was loaded from a folder, whatever the server calls it and whichever way leads there", async () => {
    const models = [
      { model: "other", root: join(place, "gone") },
      { model: "mine", root: join(place, "link") },
    ];
    expect(await findServed(models, folder)).toBe("mine");
    expect(await findServed([{ model: folder }], join(place, "link"))).toBe(folder);
    expect(await findServed(models.slice(0, 1), folder)).toBeUndefined();
  });

  it("believes a relative path only where it is known from where", async () => {
    const models = [{ model: "mine", root: "model" }];
    expect(await findServed(models, folder)).toBeUndefined();
    expect(await findServed(models, folder, place)).toBe("mine");
    expect(await findServed(models, folder, join(place, "elsewhere"))).toBeUndefined();
  });
});

describe("describeServed()", () => {
  it("names what is served, without what would move a terminal's cursor", () => {
    expect(describeServed([])).toBe("nothing");
    expect(describeServed([{ model: "a", root: "/models/a" }, { model: "b\u001b[2J" }])).not.toContain(
      "\u001b",
    );
    expect(describeServed([{ model: "a", root: "/models/a" }, { model: "b" }])).toBe(
      '"a" from "/models/a", "b"',
    );
  });
});
