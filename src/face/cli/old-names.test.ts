import { expect, it, vi } from "vitest";
import { renameCommand } from "./old-names.ts";

it.each([
  [
    ["sweep", "run"],
    ["repair", "run"],
  ],
  [
    ["help", "sweep"],
    ["help", "repair"],
  ],
])("reads %j as %j, and says so", (args, now) => {
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(renameCommand(args)).toEqual(now);
  expect(write.mock.calls).toEqual([["untwist sweep is called untwist repair now\n"]]);
  write.mockRestore();
});

it.each([[["repair", "sweep"]], [["show", "help"]], [["help"]], [[]]])("leaves %j as it is", (args) => {
  expect(renameCommand(args)).toEqual(args);
});
