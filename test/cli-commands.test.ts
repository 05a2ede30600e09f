/** The commands and flags: what is there, and that all of it is described. */
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { createProgram } from "../src/face/cli/main.ts";

/** Flags that several commands have. */
const taskFlags = [
  "--count <number>",
  "--seed <number>",
  "--rendering <name>",
  "--attempts <number>",
  "--max-new-tokens <number>",
];
const jobFlags = [
  "--on <executor>",
  "--profile <file>",
  "--set <key=value>",
  "--memory <size>",
  "--interval <seconds>",
  "--detach",
  "--dry-run",
];
const askingFlags = [
  "--model <name>",
  "--api <name>",
  "--temperature <number>",
  "--body <json>",
  "--concurrency <number>",
  "--timeout <seconds>",
  "--tries <number>",
  "--judge-endpoint <url>",
  "--judge-model <name>",
  "--api-key-env <name>",
  "--judge-api-key-env <name>",
  "--price <in,out>",
];

describe("createProgram()", () => {
  it("has these commands and flags, no more and no fewer", async () => {
    const describeCommand = (command: Command): readonly string[] => [
      ...command.registeredArguments.map((argument) =>
        argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
      ),
      ...command.options.map(({ flags }) => flags),
    ];
    const found = (await createProgram()).commands.map((command) => [
      command.name(),
      describeCommand(command),
    ]);
    expect(Object.fromEntries(found)).toEqual({
      run: ["[recipe]", "--out <folder>", "--seed <number>", "--set <key=value>", "--resume", "--json"],
      follow: ["[folders]", "--out <run>", "--base <folder>", "--lineage <file>", "--json"],
      watch: [
        "[folders]",
        "--out <run>",
        "--base <folder>",
        "--environment <name>",
        ...taskFlags,
        "--serve <command>",
        "--serve-timeout <seconds>",
        "--lora-endpoint <url>",
        "--template <use>",
        ...askingFlags,
        "--false-alarm-rate <number>",
        "--interval <seconds>",
        "--keep-best <number>",
        "--until <step>",
        "--idle <seconds>",
        "--stop-on-alert",
        "--on-alert <command>",
        "--webhook <url>",
        "--json",
      ],
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
        "--strict",
        ...jobFlags,
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
      sweep: ["<run>", "[sweep]", "--lora-endpoint <url>", ...askingFlags, ...jobFlags, "--json"],
      studio: ["[folder]", "--host <name>", "--port <number>", "--open"],
      report: ["<run>", "--out <file>", "--figures <folder>"],
      signals: ["<run>", "--json"],
      eval: [
        "[target]",
        "--environment <name>",
        "--splits <list>",
        ...taskFlags,
        "--endpoint <url>",
        "--answers <file>",
        "--serve <command>",
        "--serve-timeout <seconds>",
        "--lora-endpoint <url>",
        "--template <use>",
        ...askingFlags,
        ...jobFlags,
        "--items",
        "--json",
      ],
      serve: ["<checkpoint>", "--host <name>", "--port <number>", "--name <name>"],
      import: ["<run>", "--id <path>", "--ood <path>", "--metric <name>", "--filter <name>", "--json"],
      export: ["<run>", "--as <form>", "--out <folder>"],
      grade: ["<environment>", "--task <json>", "--answer <text>", "--compat", "--json"],
      jobs: ["--json"],
      attach: ["<job>", "--json"],
      cancel: ["<job>", "--json"],
      retry: ["<job>", "--json"],
      cache: ["--prune <days>", "--json"],
      doctor: ["--json"],
    });
  });

  it("has the one that is named, and the one that executors start only by its name", async () => {
    const listNames = async (name: string): Promise<readonly string[]> =>
      (await createProgram({ args: [name] })).commands.map((command) => command.name());
    expect(await listNames("ls")).toEqual(["ls"]);
    expect(await listNames("work")).toEqual(["work"]);
    expect(await listNames("--version")).toEqual([]);
    // What every object has is no command.
    expect(await listNames("constructor")).toEqual(await listNames("--help"));
  });

  it("describes every command and flag", async () => {
    for (const command of (await createProgram()).commands) {
      expect(command.description()).not.toBe("");
      for (const option of command.options) expect(option.description, option.flags).not.toBe("");
    }
  });
});
