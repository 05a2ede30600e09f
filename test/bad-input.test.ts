/** Mistakes of users: each is one sentence on standard error and exit code 2, and leaves no trace. */
import { cpSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { listVersions } from "../src/base/machine/index.ts";
import { openCheckpoint, type WritableTensor, writeCheckpoint } from "../src/weights/checkpoint/index.ts";
import { expectRefusal as expectRefusalIn, type Mistake } from "./support/refusal.ts";
import { createTemporaryFolder, removeFolder, root, tinyRecipe } from "./support/untwist.ts";

const folder = createTemporaryFolder();
const shipped = join(root, "models/general-points-base");
const recipe = "tiny.yaml";

/** A run folder as far as the command line looks at it before it works on one. */
function writeRun(path: string): void {
  mkdirSync(path);
  const record = { schema: 1, recipe: "tiny", seed: 1, numThreads: 1, versions: listVersions() };
  writeFileSync(join(path, "run.json"), JSON.stringify(record));
  writeFileSync(join(path, "recipe.yaml"), tinyRecipe);
  writeFileSync(join(path, "lineage.json"), JSON.stringify({ schema: 1, checkpoints: [] }));
}

/** The shipped model without its last tensor. */
async function writeIncompleteModel(path: string): Promise<string> {
  const checkpoint = await openCheckpoint(shipped);
  const names = [...checkpoint.tensors.keys()];
  const left = names.pop() ?? "";
  const tensors: WritableTensor[] = [];
  for (const name of names) {
    const { data, shape } = await checkpoint.readTensor(name);
    tensors.push({ name, dtype: "F32", shape, data: () => data });
  }
  const files = Object.fromEntries(
    ["tokenizer.json", "tokenizer_config.json"].map((name) => [name, readFileSync(join(shipped, name))]),
  );
  await writeCheckpoint(path, { config: checkpoint.config, tensors, files });
  await checkpoint.close();
  return left;
}

const malformed: Readonly<Record<string, string>> = {
  "line-3.yaml":
    "name: tiny\nsummary: A flow sequence without its end\nrl: [1, 2\nbase: general-points-base\n",
  "tab.yaml": "name: tiny\nevaluation:\n\tnumTasks: 24\n",
  "twice.yaml": "name: tiny\nsummary: One key twice\nname: tiny\n",
  "alias.yaml": "name: tiny\nsummary: An alias of nothing\nbase: *nothing\n",
  "empty.yaml": "",
  "list.yaml": "- name: tiny\n",
};

const newBase = `{model: {hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2}, phases: [{numSteps: 2, batchSize: 4, skills: {nonsense: 1}, optimizer: {learningRate: 0.01}}]}`;

let missingTensor = "";

beforeAll(async () => {
  writeFileSync(join(folder, recipe), tinyRecipe);
  for (const [name, text] of Object.entries(malformed)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, "nested.yaml"), tinyRecipe.replace("0.001 }", "0.001, momentum: 0.9 }"));
  writeFileSync(join(folder, "no-sft.yaml"), tinyRecipe.replace(/^sft:\n( .*\n)+/m, ""));
  writeRun(join(folder, "run"));
  mkdirSync(join(folder, "full"));
  writeFileSync(join(folder, "full/notes.txt"), "mine");
  missingTensor = await writeIncompleteModel(join(folder, "incomplete"));
  cpSync(shipped, join(folder, "truncated"), { recursive: true });
  truncateSync(join(folder, "truncated/model.safetensors"), 100_000);
});

afterAll(() => removeFolder(folder));

function expectRefusal(args: readonly string[], named: readonly string[]): Promise<void> {
  return expectRefusalIn([args, ...named], folder);
}

const set = (...changes: readonly string[]): readonly string[] => [
  recipe,
  ...changes.flatMap((change) => ["--set", change]),
];

describe("untwist run in a new folder refuses", () => {
  const mistakes: Readonly<Record<string, Mistake>> = {
    "an unknown recipe": [["nonsense"], '"nonsense"', "general-points-quick"],
    "a recipe file that is not there": [["nonsense.yaml"], '"nonsense.yaml"'],
    "an unclosed bracket, with its line": [["line-3.yaml"], "line-3.yaml", "line 4"],
    "a tab as indentation, with its line": [["tab.yaml"], "line 3"],
    "a key that is there twice, with its line": [["twice.yaml"], "line 3"],
    "an alias of nothing, with its line": [["alias.yaml"], "alias.yaml", "line 3"],
    "an empty recipe": [["empty.yaml"], "empty.yaml"],
    "a recipe that is a list": [["list.yaml"], "list.yaml"],
    "an unknown key": [set("color=blue"), '"color"'],
    "an unknown key in a part of the recipe": [["nested.yaml"], '"momentum"', '"sft.optimizer"'],
    "an unknown key in a branch": [set("rl.0.color=blue"), '"color"', '"rl.0"'],
    "a missing key": [set("evaluation={}"), '"evaluation.numTasks"'],
    "negative steps": [set("sft.numSteps=-3"), '"sft.numSteps"'],
    "half a step": [set("sft.numSteps=1.5"), '"sft.numSteps"'],
    "a checkpoint beyond the end of SFT": [set("sft.checkpoints=[4, 40]"), '"sft.checkpoints"', "40", "12"],
    "a checkpoint beyond the end of a branch": [set("rl.1.checkpoints=[9]"), '"rl.1.checkpoints"', "9", "3"],
    "checkpoints in descending order": [set("sft.checkpoints=[8, 4]"), '"sft.checkpoints"', "ascending"],
    "a branch from a step without checkpoint": [set("rl.0.from=[7]"), '"rl.0.from"', "7", "4, 8, 12"],
    "a reference at a step without checkpoint": [set("rl.0.reference=7"), '"rl.0.reference"', "7"],
    "a start of a branch that is neither steps nor every": [set("rl.0.from=never"), '"rl.0.from"', "every"],
    "a branch from a step of no SFT": [["no-sft.yaml"], '"rl.0.from"'],
    "branches from every checkpoint of no SFT": [
      ["no-sft.yaml", "--set", "rl.0.from=every", "--set", "rl.1.from=every"],
      '"rl.0.from"',
    ],
    "two branches that would have one name": [
      set(
        "rl.0.from=[8]",
        "rl.1={method: grpo, from: [8], numUpdates: 1, tasksPerUpdate: 1, groupSize: 2, minibatchSize: 2, optimizer: {learningRate: 0.1}, checkpoints: [1]}",
      ),
      "8",
    ],
    "an unknown kind of RL": [set("rl.0.method=dpo"), '"rl.0.method"', "grpo", "ppo"],
    "an unknown environment": [set("environment=chess"), '"chess"', "general-points"],
    "an unknown environment of a new base model": [set("environment=chess", `base=${newBase}`), '"chess"'],
    "an unknown skill": [set(`base=${newBase}`), '"nonsense"', "solve"],
    "a model size that its heads do not divide": [
      set(`base=${newBase.replace("hiddenSize: 16", "hiddenSize: 15").replace("nonsense", "solve")}`),
    ],
    "more new tokens than the model has positions": [set("evaluation.maxNewTokens=500"), "500", "128"],
    "a prompt format that the model's vocabulary cannot write": [set("promptFormat=chat")],
    "an unknown base model": [set("base=nonsense"), '"nonsense"', "general-points-base"],
    "a base model that lacks a tensor": [set("base=incomplete"), "model.safetensors", "missing"],
    "a truncated base model": [set("base=truncated"), "truncated/model.safetensors"],
    "a change without =": [set("sft.numSteps"), '"sft.numSteps"', "key=value"],
    "a change without a key": [set("=3"), '"=3"'],
    "a change below a plain value": [set("name.first=3"), '"name.first"'],
    "a change to malformed YAML": [set("sft.checkpoints=[4"), '"sft.checkpoints"'],
    "a change far beyond the end of a list": [
      set("rl.99999999.numUpdates=3"),
      '"rl.99999999.numUpdates"',
      "2",
    ],
    "a change far into a list that is not there": [
      set("repairs.99999999.name=x"),
      '"repairs.99999999.name"',
      "0",
    ],
    "a batch that no memory holds": [set("sft.batchSize=100000000"), '"sft.batchSize"', "16384"],
    "an evaluation that no memory holds": [set("evaluation.numTasks=100000000"), '"evaluation.numTasks"'],
    "a batch of answers that no memory holds": [set("evaluation.batchSize=1e8"), '"evaluation.batchSize"'],
    "more answers an update than memory holds": [
      set("rl.0.tasksPerUpdate=10000", "rl.0.groupSize=10000"),
      '"rl.0.tasksPerUpdate"',
      "100000000",
    ],
    "a model that no memory holds": [
      set(
        `base=${newBase.replace("hiddenSize: 16", "hiddenSize: 16000").replace("numLayers: 1", "numLayers: 9")}`,
      ),
      '"base.model"',
      "weights",
    ],
    "a seed that is a word": [[recipe, "--seed", "one"], "seed"],
    "a seed that is a fraction": [[recipe, "--seed", "1.5"], "seed"],
    "an unknown flag": [[recipe, "--nonsense"], "--nonsense"],
    "a misspelt flag": [[recipe, "--sed", "1"], "--sed"],
    "a second recipe": [[recipe, recipe]],
  };
  // Each has its own folder, so that one that wrongly comes to be spoils no other test.
  for (const [index, [name, [args, ...named]]] of Object.entries(mistakes).entries())
    it(name, () => expectRefusal(["run", ...args, "--out", `new-${index}`], named));

  it("a base model that lacks a tensor, naming the tensor", () =>
    expectRefusal(["run", ...set("base=incomplete"), "--out", "new"], [missingTensor]));
});

describe("untwist run refuses a folder", () => {
  const folders: Readonly<Record<string, string>> = {
    "that is not empty": "full",
    "that holds a run": "run",
    "that is a file": recipe,
    "below a file": `${recipe}/new`,
    "that the system does not let be made": "/proc/untwist/new",
  };
  for (const [name, out] of Object.entries(folders))
    it(name, () => expectRefusal(["run", recipe, "--out", out], [`"${out}"`]));
});

describe("untwist refuses", () => {
  const task = '{"cards":["A","5","J","10"],"rule":"ood"}';
  const evaluation = ["eval", "general-points-base", "--environment", "general-points"];
  const grade = (text: string): readonly string[] => [
    "grade",
    "general-points",
    "--task",
    text,
    "--answer",
    "x",
  ];
  const mistakes: Readonly<Record<string, Mistake>> = {
    "to resume with a seed": [["run", "--resume", "--out", "run", "--seed", "2"], "--seed"],
    "to resume with a change": [["run", "--resume", "--out", "run", "--set", "seed=2"], "--set"],
    "to resume where there is no run": [["run", "--resume", "--out", "nonsense"], '"nonsense"'],
    "to resume when there never was a run": [["run", "--resume"], "runs/general-points", "--out"],
    "to resume a run as another recipe": [
      ["run", "general-points", "--resume", "--out", "run"],
      '"run"',
      "tiny",
    ],
    "to show a folder without run": [["show", "full"], '"full"', "run.json"],
    "to show what is not there": [["show", "nonsense"], '"nonsense"'],
    "to show an unfinished run, with how to go on": [["show", "run"], '"run"', "--resume"],
    "to list what is not there": [["ls", "nonsense"], '"nonsense"'],
    "to list a file": [["ls", recipe], `"${recipe}"`],
    "an evaluation without environment": [["eval", "general-points-base"], "--environment"],
    "an evaluation of an unknown environment": [
      ["eval", "general-points-base", "--environment", "chess"],
      '"chess"',
      "general-points",
    ],
    "an evaluation of an unknown split": [
      [...evaluation, "--splits", "id,nonsense"],
      '"nonsense"',
      "id, ood",
    ],
    "an evaluation of no tasks": [[...evaluation, "--count", "0"], "--count", '"0"'],
    "an evaluation of more tasks than memory holds": [
      [...evaluation, "--count", "99999999"],
      "--count 99999999",
      "1000000",
    ],
    "an evaluation with more tries than memory holds": [
      [...evaluation, "--attempts", "99999999"],
      "--attempts",
      "16384",
    ],
    "an evaluation of a word of tasks": [[...evaluation, "--count", "ten"], "--count", '"ten"'],
    "an evaluation of an unknown prompt format": [
      [...evaluation, "--prompt-format", "song"],
      '"song"',
      "compact",
    ],
    "an evaluation in a prompt format that the model cannot write": [
      [...evaluation, "--count", "1", "--prompt-format", "chat"],
    ],
    "an evaluation of an unknown model": [
      ["eval", "nonsense", "--environment", "general-points"],
      '"nonsense"',
    ],
    "an evaluation of a model that lacks a tensor": [
      ["eval", "incomplete", "--environment", "general-points"],
      "incomplete/model.safetensors",
    ],
    "an evaluation of a truncated model": [
      ["eval", "truncated", "--environment", "general-points"],
      "truncated/model.safetensors",
    ],
    "to notice no loss": [["power", "--loss", "0"], "--loss", "above 0"],
    "to notice more than all": [["power", "--loss", "101"], "--loss", "100"],
    "to hold one checkpoint against none": [["power", "--checkpoints", "1"], "--checkpoints", "from 2"],
    "to notice a loss by too many items": [["power", "--items", "1000000"], "--items", "at most 100000"],
    "to grade a task that is not valid JSON": [grade("{"), "--task"],
    "to grade a task under an unknown rule": [grade(task.replace("ood", "nonsense")), '"rule"', "ood"],
    "to grade a hand of three": [grade('{"cards":[1,2,3],"rule":"id"}'), '"cards"'],
    "to grade an unknown card": [grade('{"cards":[1,2,3,"Z"],"rule":"id"}'), '"Z"'],
    "to grade a hand that cannot be solved": [grade('{"cards":[1,1,1,1],"rule":"id"}'), "A A A A"],
    "to grade in an unknown environment": [["grade", "chess", "--task", task, "--answer", "x"], '"chess"'],
    "to grade without an answer": [["grade", "general-points", "--task", task], "--answer"],
    "an unknown command": [["nonsense"], "nonsense"],
    "a misspelt command": [["evla"], "evla"],
    "an unknown flag": [["doctor", "--nonsense"], "--nonsense"],
    "a missing argument": [["show"], "run"],
  };
  for (const [name, [args, ...named]] of Object.entries(mistakes)) it(name, () => expectRefusal(args, named));
});

describe("untwist refuses a run folder whose files are damaged", () => {
  const line = '{"split":"id"}\n';
  const entry = { id: "base", stage: "base", step: 0, path: "checkpoints/base" };
  const lineage = JSON.stringify({ schema: 1, checkpoints: [entry] });
  const damages: Readonly<Record<string, readonly [file: string, text: string]>> = {
    "run.json is not valid JSON": ["run.json", "{"],
    "run.json is of a later layout": ["run.json", '{"schema":99}'],
    "recipe.yaml is malformed": ["recipe.yaml", "name: [\n"],
    "lineage.json is not valid JSON": ["lineage.json", "nonsense"],
    "lineage.json lacks its checkpoints": ["lineage.json", '{"schema":1}'],
    "an evaluation has a line that is not valid JSON": ["evaluations/base.jsonl", `{\n${line}`],
    "an evaluation has a line that is not an item": ["evaluations/base.jsonl", line],
    "timings.jsonl has a line that is not valid JSON": ["timings.jsonl", `{\n{}\n`],
  };
  for (const [index, [name, [file, text]]] of Object.entries(damages).entries())
    it(`${name}`, async () => {
      const path = join(folder, `damaged-${index}`);
      writeRun(path);
      // Every stage is done, so that resuming goes straight to the summary.
      const short = tinyRecipe.slice(0, tinyRecipe.indexOf("sft:"));
      writeFileSync(join(path, "recipe.yaml"), short);
      writeFileSync(join(path, "lineage.json"), lineage);
      mkdirSync(join(path, "evaluations"));
      writeFileSync(join(path, "evaluations/base.jsonl"), "");
      cpSync(shipped, join(path, "checkpoints/base"), { recursive: true });
      writeFileSync(join(path, file), text);
      await expectRefusal(["run", "--resume", "--out", `damaged-${index}`], [`damaged-${index}/${file}`]);
    });
});
