/** The commands and flags: what is there, and that all of it is described. */
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { commands, createProgram } from "../src/face/cli/main.ts";

/** Flags that several commands have. */
const taskFlags = [
  "--count <number>",
  "--seed <number>",
  "--prompt-format <name>",
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

/** Every command with its flags, as it is when it is given. */
const loadAll = (): Promise<readonly Command[]> =>
  Promise.all(
    Object.keys(commands).map(async (name) => {
      const program = await createProgram({ args: [name] });
      return program.commands.find((command) => command.name() === name)!;
    }),
  );

describe("createProgram()", () => {
  it("has these commands and flags, no more and no fewer", async () => {
    const describeCommand = (command: Command): readonly string[] => [
      ...command.registeredArguments.map((argument) =>
        argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
      ),
      ...command.options.map(({ flags }) => flags),
    ];
    const found = (await loadAll()).map((command) => [command.name(), describeCommand(command)]);
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
        "--randomized <seed>",
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
      repair: ["<run>", "[grid]", "--lora-endpoint <url>", ...askingFlags, ...jobFlags, "--json"],
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
      import: [
        "<run>",
        "--id <path>",
        "--ood <path>",
        "--metric <name>",
        "--filter <name>",
        "--group <field>",
        "--json",
      ],
      export: ["<run>", "--as <form>", "--out <folder>"],
      power: [
        "--loss <points>",
        "--items <count>",
        "--changing <percent>",
        "--checkpoints <count>",
        "--json",
      ],
      grade: ["<environment>", "--task <json>", "--answer <text>", "--compat", "--json"],
      jobs: ["--json"],
      attach: ["<job>", "--json"],
      cancel: ["<job>", "--json"],
      retry: ["<job>", "--json"],
      cache: ["--prune <days>", "--json"],
      doctor: ["--json"],
    });
  });

  it("loads the one that is named, also for its help, and lists all but the one that executors start", async () => {
    const load = async (...args: readonly string[]): Promise<readonly string[]> =>
      (await createProgram({ args })).commands
        .filter(({ options }) => options.length > 0)
        .map((command) => command.name());
    expect(await load("ls")).toEqual(["ls"]);
    expect(await load("help", "ls")).toEqual(["ls"]);
    // What every object has is not a command.
    for (const name of ["--version", "--help", "constructor", "nonsense"])
      expect(await load(name)).toEqual([]);
    const { commands: listed } = await createProgram({ args: [] });
    const help = (await createProgram({ args: [] })).helpInformation();
    expect(listed.map((command) => command.name())).toEqual([...Object.keys(commands), "work"]);
    for (const name of Object.keys(commands)) expect(help).toMatch(new RegExp(`^  ${name} `, "m"));
    expect(help).not.toMatch(/^ {2}work /m);
  });

  it("is listed as each command describes itself", async () => {
    for (const command of await loadAll()) expect(command.usage()).toBe(commands[command.name()]?.usage);
  });

  it("describes every command and flag", async () => {
    for (const command of await loadAll()) {
      expect(command.description()).not.toBe("");
      for (const option of command.options) expect(option.description, option.flags).not.toBe("");
    }
  });
});
