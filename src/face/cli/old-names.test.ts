import { expect, it, vi } from "vitest";
import { renameArguments } from "./old-names.ts";

it.each([
  [["sweep", "run"], ["repair", "run"], "untwist sweep is called untwist repair now\n"],
  [["help", "sweep"], ["help", "repair"], "untwist sweep is called untwist repair now\n"],
  [
    ["eval", "run", "--rendering", "chat"],
    ["eval", "run", "--prompt-format", "chat"],
    "--rendering is called --prompt-format now\n",
  ],
  [
    ["spectra", "a", "b", "--randomised=1"],
    ["spectra", "a", "b", "--randomized=1"],
    "--randomised is called --randomized now\n",
  ],
])("reads %j as %j, and says so", (args, now, told) => {
  const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(renameArguments(args)).toEqual(now);
  expect(write.mock.calls).toEqual([[told]]);
  write.mockRestore();
});

it.each([[["repair", "sweep"]], [["show", "help"]], [["grade", "--answer=--rendering"]], [["help"]], [[]]])(
  "leaves %j as it is",
  (args) => {
    expect(renameArguments(args)).toEqual(args);
  },
);
