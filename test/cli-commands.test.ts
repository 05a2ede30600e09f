/** The commands and flags: what is there, and that all of it is described. */
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { createProgram } from "../src/cli/main.ts";

describe("createProgram()", () => {
  it("has these commands and flags, no more and no fewer", () => {
    const describeCommand = (command: Command): readonly string[] => [
      ...command.registeredArguments.map((argument) =>
        argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
      ),
      ...command.options.map(({ flags }) => flags),
    ];
    const found = createProgram().commands.map((command) => [command.name(), describeCommand(command)]);
    expect(Object.fromEntries(found)).toEqual({
      run: ["[recipe]", "--out <folder>", "--seed <number>", "--set <key=value>", "--resume", "--json"],
      ls: ["[folder]", "--json"],
      show: ["<run>", "--json"],
      spectra: [
        "<before>",
        "[after]",
        "--rank <list>",
        "--matrices <patterns>",
        "--layers <ranges>",
        "--randomised <seed>",
        "--out <folder>",
        "--json",
      ],
      restore: [
        "--into <checkpoint>",
        "--from <checkpoint>",
        "--what <part>",
        "--top <amount>",
        "--tail <amount>",
        "--layers <ranges>",
        "--matrices <patterns>",
        "--strength <share>",
        "--out <folder>",
        "--as <form>",
        "--dry-run",
        "--json",
      ],
      apply: ["<plan>", "--out <folder>", "--as <form>", "--dry-run", "--json"],
      sweep: ["<run>", "[sweep]", "--json"],
      studio: ["[folder]", "--host <name>", "--port <number>", "--open"],
      report: ["<run>", "--out <file>", "--figures <folder>"],
      eval: [
        "<checkpoint>",
        "--environment <name>",
        "--splits <list>",
        "--count <number>",
        "--seed <number>",
        "--rendering <name>",
        "--max-new-tokens <number>",
        "--items",
        "--json",
      ],
      grade: ["<environment>", "--task <json>", "--answer <text>", "--compat", "--json"],
      doctor: ["--json"],
    });
  });

  it("describes every command and flag", () => {
    for (const command of createProgram().commands) {
      expect(command.description()).not.toBe("");
      for (const option of command.options) expect(option.description, option.flags).not.toBe("");
    }
  });
});
