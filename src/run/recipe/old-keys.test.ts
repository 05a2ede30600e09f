import { expect, it } from "vitest";
import { parseDocument } from "yaml";
import { renameKeys, renamePath } from "./old-keys.ts";

const rename = (text: string): unknown => {
  const document = parseDocument(text);
  renameKeys(document);
  return document.toJS();
};

it("gives the fields of an earlier recipe their names of today", () => {
  const text =
    "rendering: chat\nsweeps: []\nbase: { phases: [{ lessons: { read: 1 } }, { lessons: { lessons: 2 } }] }";
  expect(rename(text)).toEqual({
    promptFormat: "chat",
    repairs: [],
    base: { phases: [{ skills: { read: 1 } }, { skills: { lessons: 2 } }] },
  });
});

it("leaves the same words alone at other places, and where both names are given", () => {
  for (const text of [
    "sft: { rendering: chat }",
    "lessons: 1",
    "rendering: chat\npromptFormat: compact",
    "- sweeps: 1",
  ])
    expect(rename(text)).toEqual(parseDocument(text).toJS());
});

it("renames a path, as --set gives it", () => {
  expect(renamePath(["sweeps", "0", "name"])).toEqual(["repairs", "0", "name"]);
  expect(renamePath(["base", "phases", "1", "lessons", "read"])).toEqual([
    "base",
    "phases",
    "1",
    "skills",
    "read",
  ]);
  expect(renamePath(["sft", "rendering"])).toEqual(["sft", "rendering"]);
});
