/** The command line from outside: its commands and flags, its JSON, and what a run looks like to those who read it. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commands, createProgram } from "../src/face/cli/main.ts";
import { memoryFolder } from "../src/lab/cache/answer-memory.ts";
import { count, summaryShape } from "./support/summary-shape.ts";
import {
  createTemporaryFolder,
  type Outcome,
  parseJson,
  removeFolder,
  root,
  runUntwist,
  startUntwist,
  tinyRecipe,
} from "./support/untwist.ts";

const folder = createTemporaryFolder();
const escapeCode = "\u001b";
let ran: Outcome;

beforeAll(async () => {
  writeFileSync(join(folder, "tiny.yaml"), tinyRecipe);
  ran = await runUntwist(["run", "tiny.yaml", "--out", "runs/tiny", "--seed", "5"], folder);
});
afterAll(() => removeFolder(folder));

/** Runs `untwist` where the run lies, and expects it to succeed quietly: with a cache of its own, in which nothing is known yet. */
async function succeed(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runUntwist(args, folder, {
    UNTWIST_CACHE: mkdtempSync(join(folder, "cache-")),
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).not.toContain(escapeCode);
  return stdout;
}

describe("untwist --help", () => {
  // Not `work`, which executors start.
  const names = Object.keys(commands);

  for (const name of names)
    it(`has examples and exit codes for ${name}`, async () => {
      const text = await succeed(name, "--help");
      expect(text).toContain(`Usage: untwist ${name}`);
      expect(text).toMatch(new RegExp(`\nExamples:\n +untwist ${name}`));
      expect(text).toMatch(/\nExit codes:\n +0 .*\n +1 .*\n +2 .*\n +3 .*\n +130 /);
    });

  it("is the same as help COMMAND, which says what a wrong name may have meant", async () => {
    expect(await succeed("help", "repair")).toBe(await succeed("repair", "--help"));
    const { code, stderr } = await runUntwist(["help", "repiar"], folder);
    expect([code, stderr]).toEqual([2, "Unknown command 'repiar' (Did you mean repair?)\n"]);
  });

  it("names every command", async () => {
    const text = await succeed("--help");
    for (const name of names) expect(text).toMatch(new RegExp(`^ +${name}\\b`, "m"));
    expect(text).toContain("Exit codes:");
  });

  it("is what examples in it can be trusted to parse like", async () => {
    // Each example's flags must exist; a made-up one is an error of commander's.
    for (const name of names) {
      const program = await createProgram({ args: [name] });
      const command = program.commands.find((one) => one.name() === name)!;
      let text = "";
      command.configureOutput({
        writeOut: (part) => {
          text += part;
        },
      });
      command.outputHelp();
      // What stands in quotes is for other programs.
      const [, examples = ""] = text.replaceAll(/'[^']*'/g, "").split(/\nExamples:\n/);
      const flags = new Set(
        [...(examples.split("\nExit codes")[0] ?? "").matchAll(/ (--[a-z-]+)/g)].map(([, flag]) => flag),
      );
      const known = command.options.map(({ long }) => long);
      expect(known).toEqual(expect.arrayContaining([...flags]));
    }
  });

  it("--version prints the package's version", async () => {
    const { version } = parseJson(readFileSync(join(root, "package.json"), "utf8"));
    expect(await succeed("--version")).toBe(`${version}\n`);
  });
});

describe("untwist power", () => {
  it("says how many items a loss takes, and which loss these can show", async () => {
    const { asked } = parseJson(await succeed("power", "--loss", "3", "--json"));
    const { losses } = parseJson(await succeed("power", "--items", String(asked.numItems), "--json"));
    // Losses are whole items: no more than one of them beyond what was asked for.
    expect(losses[0].detectableLoss).toBeGreaterThan(0.03 - 1 / asked.numItems);
    expect(losses[0].detectableLoss).toBeLessThan(0.03 + 1 / asked.numItems);
    expect(await succeed("power", "--loss", "3")).toContain(
      `To notice a loss of 3.0 points in 80 % of cases takes ${asked.numItems} items.`,
    );
    const { asked: shared } = parseJson(
      await succeed("power", "--loss", "3", "--checkpoints", "13", "--json"),
    );
    expect(shared.numItems).toBeGreaterThan(1.3 * asked.numItems);
  });

  it("says where no loss would show, and where it takes more items than anyone asks", async () => {
    expect(await succeed("power", "--items", "4")).toContain("none");
    expect(await succeed("power", "--loss", "0.1")).toContain("takes more than 100000 items");
  });
});

describe("untwist grade", () => {
  const golden: readonly (readonly [
    cards: readonly number[],
    formula: string,
    reward: number,
    outcome: string,
    ...flags: readonly string[],
  ])[] = [
    [[1, 2, 3, 4], "1*2*3*4", 5, "correct"],
    [[1, 2, 3, 4], "1*2*3*4=24", 5, "correct"],
    [[1, 2, 3, 4], "1+2+3+4", -1, "incorrect"],
    [[1, 2, 3, 4], "1*2*3", -2, "wrong-numbers"],
    [[1, 2, 3, 4], "1*2*3*5", -4, "wrong-numbers"],
    [[1, 2, 3, 4], "(1+2+3)*4)", -3, "illegal"],
    [[1, 2, 3, 4], "1 * 2*3*4", -3, "illegal"],
    [[1, 2, 3, 4], "-1+2+3+4", -3, "illegal"],
    [[3, 3, 8, 8], "8/(3-8/3)", 5, "correct"],
    [[3, 3, 8, 8], "8/(3-8/3)", 0, "incorrect", "--compat"],
  ];
  for (const [cards, formula, reward, outcome, ...flags] of golden)
    it(`gives ${reward} for ${formula} ${flags.join("")}`, async () => {
      const task = JSON.stringify({ cards, rule: "id" });
      const args = [
        "grade",
        "general-points",
        "--task",
        task,
        "--answer",
        JSON.stringify({ formula }),
        ...flags,
      ];
      const grade = parseJson(await succeed(...args, "--json"));
      expect(grade).toMatchObject({ reward, outcome, parts: { solved: outcome === "correct" } });
      expect(Object.keys(grade).sort()).toEqual(["feedback", "outcome", "parts", "reward"]);
      expect(Object.keys(grade.parts).sort()).toEqual(["format", "solved", "values"]);
    });

  it("values faces by the rule, and prints reward, outcome and feedback", async () => {
    const args = (rule: string): readonly string[] => [
      "grade",
      "general-points",
      "--task",
      `{"cards":["A","5","J","10"],"rule":"${rule}"}`,
      "--answer",
      '{"cards":["A","5","J","10"],"number":[1,5,11,10],"formula":"(11-10)*(5*5-1)"}',
    ];
    const text = await succeed(...args("ood"));
    expect(text).toMatch(
      /^task +A 5 J 10 with J = 11, Q = 12, K = 13\nreward +-\d+\noutcome +wrong-numbers\nfeedback +\S.*\n$/,
    );
    const good = args("ood").with(-1, '{"formula":"(11-5)*(10/5)"}');
    expect(await succeed(...good)).toContain("outcome   wrong-numbers");
  });

  it("prints a reward with its sign", async () => {
    const text = await succeed(
      "grade",
      "general-points",
      "--task",
      '{"cards":[1,2,3,4],"rule":"id"}',
      "--answer",
      '{"formula":"1*2*3*4=24"}',
    );
    expect(text).toMatch(/^reward +\+5$/m);
  });
});

describe("untwist eval", () => {
  const args = ["eval", "general-points-base", "--environment", "general-points", "--count", "8"] as const;

  it("counts both splits and prints intervals", async () => {
    const text = await succeed(...args);
    expect(text).toMatch(/^id +\d\/8 +\d+\.\d % \[\d+\.\d, \d+\.\d\] /m);
    expect(text).toMatch(/^ood +\d\/8 /m);
  });

  it("says where answers come from that it was asked for before, and gives the same", async () => {
    const cache = { UNTWIST_CACHE: join(folder, "cache") };
    const [first, again] = [await runUntwist(args, folder, cache), await runUntwist(args, folder, cache)];
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(again).toMatchObject({ code: 0, stdout: first.stdout });
    expect(again.stderr).toBe(
      `Answers that the same weights gave before are taken from ${join(cache.UNTWIST_CACHE, memoryFolder)}\n`,
    );
  });

  it("gives the same counts as JSON each time, and other tasks for another seed", async () => {
    const [first, again, other] = await Promise.all([
      succeed(...args, "--json", "--items"),
      succeed(...args, "--json", "--items"),
      succeed(...args, "--json", "--items", "--seed", "2"),
    ]);
    expect(again).toBe(first);
    const evaluation = parseJson(first);
    expect(evaluation).toMatchObject({ checkpoint: "general-points-base", environment: "general-points" });
    expect(Object.keys(evaluation.results)).toEqual(["id", "ood"]);
    for (const result of Object.values<Record<string, unknown>>(evaluation.results))
      expect(result).toMatchObject({
        solved: { correct: expect.any(Number), total: 8 },
        format: { correct: expect.any(Number), total: 8 },
        values: { correct: expect.any(Number), total: 8 },
        loss: expect.any(Number),
        outcomes: expect.any(Object),
      });
    expect(evaluation.items).toHaveLength(16);
    const hashes = (text: string): readonly string[] =>
      parseJson(text).items.map((item: { promptHash: string }) => item.promptHash);
    expect(hashes(other).filter((hash) => hashes(first).includes(hash)).length).toBeLessThan(8);
  });

  it("evaluates one split of a run's checkpoint, without items unless asked", async () => {
    const checkpoint = "runs/tiny/checkpoints/sft-12";
    const text = await succeed("eval", checkpoint, ...args.slice(2), "--splits", "ood", "--json");
    const evaluation = parseJson(text);
    expect(Object.keys(evaluation.results)).toEqual(["ood"]);
    expect(evaluation).not.toHaveProperty("items");
  });
});

describe("untwist run", () => {
  it("prints a line a checkpoint while it runs, and what came of it at the end, without escape codes", () => {
    expect(ran.code).toBe(0);
    expect(ran.stdout + ran.stderr).not.toContain(escapeCode);
    // A machine that needs long for spectra or repair grids says how long.
    const reported = ran.stderr
      .trimEnd()
      .split("\n")
      .filter((line) => !/^(spectra|repair): /.test(line));
    const ids = [
      "base",
      "sft-4",
      "sft-8",
      "sft-12",
      "grpo-from-8-step-2",
      "grpo-from-8-step-4",
      "ppo-from-4-step-3",
    ];
    expect(reported.map((line) => line.split(" ")[0])).toEqual(ids);
    for (const line of reported) expect(line).toMatch(/ ID +\d+\/24 .* OOD +\d+\/24 /);
    for (const id of ids) expect(ran.stdout).toContain(`\n${id} `);
    expect(ran.stdout).toMatch(/\npeak .*\nend .*\nforgotten /);
    expect(ran.stdout).toMatch(/\ngrpo-from-8 .*\nppo-from-4 /);
    expect(ran.stdout.trimEnd().split("\n").at(-1)).toContain("untwist show runs/tiny");
  });

  it("writes summary.json with the fields that programs rely on", () => {
    const summary = parseJson(readFileSync(join(folder, "runs/tiny/summary.json"), "utf8"));
    expect(summary).toMatchObject(summaryShape);
    const parents: Record<string, string | undefined> = {};
    for (const checkpoint of summary.checkpoints) {
      expect(checkpoint).toMatchObject({
        id: expect.any(String),
        stage: expect.stringMatching(/^(base|sft|rl)$/),
        step: expect.any(Number),
        path: `checkpoints/${checkpoint.id}`,
        accuracy: { id: count, ood: count },
        loss: { id: expect.any(Number), ood: expect.any(Number) },
      });
      parents[checkpoint.id] = checkpoint.parent;
    }
    expect(parents).toEqual({
      base: undefined,
      "sft-4": "base",
      "sft-8": "sft-4",
      "sft-12": "sft-8",
      "grpo-from-8-step-2": "sft-8",
      "grpo-from-8-step-4": "grpo-from-8-step-2",
      "ppo-from-4-step-3": "sft-4",
    });
  });

  it("counts in the summary what the evaluations say item by item", () => {
    const { checkpoints } = parseJson(readFileSync(join(folder, "runs/tiny/summary.json"), "utf8"));
    for (const { id, accuracy } of checkpoints) {
      const text = readFileSync(join(folder, `runs/tiny/evaluations/${id}.jsonl`), "utf8");
      const items = text.trimEnd().split("\n").map(parseJson);
      expect(items).toHaveLength(48);
      for (const split of ["id", "ood"])
        expect(accuracy[split].correct).toBe(
          items.filter((item) => item.split === split && item.parts.solved).length,
        );
    }
  });

  it("prints nothing but the summary with --json, and numbers the default folder", async () => {
    const args = ["run", "tiny.yaml", "--json", "--set", "rl=[]", "--set", "sft.numSteps=8"];
    const changed = ["--set", "sft.checkpoints=[2]", "--set", "evaluation.numTasks=4"];
    const { code, stdout } = await runUntwist([...args, ...changed], folder);
    expect(code).toBe(0);
    expect(parseJson(stdout)).toEqual(
      parseJson(readFileSync(join(folder, "runs/tiny-2/summary.json"), "utf8")),
    );
    expect(parseJson(stdout).checkpoints.map(({ id }: { id: string }) => id)).toEqual([
      "base",
      "sft-2",
      "sft-8",
    ]);
    expect(parseJson(stdout).trajectory).toMatchObject({ rlEnd: null, recovery: null });
  });
});

describe("untwist run of a recipe that cannot work out", () => {
  it("stops where the loss is not a number any more, in one sentence that names the stage and step", async () => {
    const changes = [
      "--set",
      "sft.optimizer.learningRate=1e6",
      "--set",
      "rl=[]",
      "--set",
      "evaluation.numTasks=4",
    ];
    const { code, stderr } = await runUntwist(
      ["run", "tiny.yaml", "--out", "elsewhere/diverged", ...changes],
      folder,
    );
    expect(code).toBe(2);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/sft.*step \d+|step \d+.*sft/i);
  });
});

describe("untwist whose reader goes away", () => {
  it("ends without a stack", async () => {
    const { child, outcome } = startUntwist(["show", "runs/tiny", "--json"], folder);
    child.stdout?.destroy();
    expect((await outcome).stderr).toBe("");
  });
});

describe("untwist show", () => {
  it("shows a run as it was shown at its end", async () => {
    const text = await succeed("show", "runs/tiny");
    expect(text).toMatch(/^tiny {3}seed 5 {3}runs\/tiny\n/);
    const table = ran.stdout.slice(ran.stdout.indexOf("checkpoint "), ran.stdout.indexOf("\n\nReport: "));
    expect(table.length).toBeGreaterThan(500);
    expect(text).toContain(table);
  });

  it("prints summary.json with --json", async () => {
    const summary = parseJson(readFileSync(join(folder, "runs/tiny/summary.json"), "utf8"));
    expect(parseJson(await succeed("show", "runs/tiny", "--json"))).toEqual(summary);
  });
});

describe("untwist ls", () => {
  it("lists the runs of ./runs, of a folder, and a run itself", async () => {
    const text = await succeed("ls");
    expect(text).toMatch(/^run +recipe +seed +state +checkpoints/);
    expect(text).toMatch(/^runs\/tiny +tiny +5 +finished +7 /m);
    expect(await succeed("ls", "runs")).toBe(text);
    expect(await succeed("ls", "runs/tiny")).toMatch(/^runs\/tiny +tiny +5 +finished +7 /m);
  });

  it("prints the list as JSON", async () => {
    const [run] = parseJson(await succeed("ls", "--json"));
    expect(run).toMatchObject({
      path: "runs/tiny",
      recipe: "tiny",
      seed: 5,
      state: "finished",
      numCheckpoints: 7,
      forgetting: { estimate: expect.any(Number), low: expect.any(Number), high: expect.any(Number) },
    });
  });

  it("says that a folder holds no runs", async () => {
    expect(await succeed("ls", "runs/tiny/metrics")).toBe("No runs in runs/tiny/metrics\n");
    expect(parseJson(await succeed("ls", "runs/tiny/metrics", "--json"))).toEqual([]);
  });
});
