/** `untwist eval`: a checkpoint, a model behind a server, or all checkpoints of a run on an environment's tasks. */
import { Command } from "commander";
import { UsageError } from "../../../base/core/index.ts";
import { type AnswerSource, chooseTasks } from "../../../lab/answer/index.ts";
import { evaluateModel, evaluateRun, evaluateServed } from "../../../lab/evaluation/index.ts";
import { type AskedTasks, isRunFolder } from "../../../run/index.ts";
import { type Split, splits } from "../../../tasks/environment/index.ts";
import { describeIncomplete, type SplitResult } from "../../../tasks/evaluation/index.ts";
import { withEffects } from "../flag/effects.ts";
import { listGiven } from "../flag/given-flags.ts";
import type { Invocation } from "../flag/invocation.ts";
import { addJobFlags, type JobFlags, parseJob, unlessHandedOver } from "../flag/job-flags.ts";
import { parseChoice } from "../flag/parse-flags.ts";
import {
  addSourceFlags,
  chooseSource,
  computeCost,
  formatUsage,
  parseRequests,
  parseTemplate,
  requireServer,
  type SourceFlags,
} from "../flag/request-flags.ts";
import { addTaskFlags, parseTasks, type TaskFlags } from "../flag/task-flags.ts";
import { createOutput } from "../output.ts";
import { formatCount } from "../screen/format.ts";
import { formatSummary } from "../screen/summary-screen.ts";
import { formatTable } from "../screen/table.ts";

interface EvalFlags extends SourceFlags, TaskFlags, JobFlags {
  readonly splits: string;
  readonly endpoint?: string;
  readonly answers?: string;
  readonly items?: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  untwist eval general-points-base --environment general-points --count 200
  untwist eval repaired --environment items:my-questions --serve 'vllm serve {path} --port {port}'
  untwist eval runs/mine --environment general-points         every checkpoint of a run that is not evaluated yet
  untwist eval runs/mine --environment general-points --serve 'vllm serve {path} --port {port}'
  untwist eval runs/lora --environment general-points --lora-endpoint http://127.0.0.1:8000
  untwist eval runs/mine --on slurm --set gpus=1 --serve 'vllm serve {path} --port {port}'    on a cluster: docs/cluster.md
  untwist eval --endpoint http://127.0.0.1:8000/v1 --model my-model --environment general-points --max-new-tokens 512
A key for the server is read from UNTWIST_API_KEY, a judge's from UNTWIST_JUDGE_API_KEY. Answers are kept: the same command continues after a stop.`;

/** `untwist eval`: its arguments, flags and help, and the action that carries it out. */
export function createEvalCommand(invocation: Invocation): Command {
  const command = new Command()
    .argument("[target]", "a checkpoint folder, a shipped model, or a run; none with --endpoint")
    .option("--environment <name>", "the tasks' environment")
    .option("--splits <list>", "splits, separated by commas", splits.join(","));
  addTaskFlags(command)
    .option("--endpoint <url>", "ask a server that speaks OpenAI's interface")
    .option("--answers <file>", "the file that keeps a server's answers (default: one in the cache)");
  return addJobFlags(addSourceFlags(command))
    .option("--items", "include every answer in the JSON")
    .option("--json", "print the result as JSON")
    .addHelpText("after", examples)
    .action((target: string | undefined, flags: EvalFlags, given: Command) =>
      unlessHandedOver(flags, () => evaluate(target, flags, { given, invocation })),
    );
}

async function evaluate(
  target: string | undefined,
  flags: EvalFlags,
  { given, invocation }: { readonly given: Command; readonly invocation: Invocation },
): Promise<void> {
  const { endpoint, serve, loraEndpoint, on } = flags;
  if (on !== undefined && (target === undefined || !(await isRunFolder(target))))
    throw new UsageError("Cannot use --on for one model: it is for all checkpoints of a run; name a run");
  requireServer(given, endpoint ?? serve ?? loraEndpoint);
  if (target === undefined) return await evaluateEndpoint(flags);
  const isRun = await isRunFolder(target);
  if (endpoint !== undefined) throw refuseEndpoint(target, isRun);
  if (isRun) {
    requireOfRun(given);
    return await evaluateCheckpoints(target, flags, invocation);
  }
  if (loraEndpoint !== undefined)
    throw new UsageError(
      `Cannot load "${target}" at --lora-endpoint: it is for the adapters of a run; make one of it by untwist follow "${target}" --base BASE --out RUN`,
    );
  await (serve === undefined ? evaluateFolder : evaluateByServer)(target, flags);
}

/** Why a folder is not evaluated at a server that runs already. */
function refuseEndpoint(target: string, isRun: boolean): UsageError {
  return new UsageError(
    isRun
      ? "Cannot evaluate all checkpoints of a run at one --endpoint: start a server for each with --serve, or load adapters at one with --lora-endpoint"
      : `Cannot evaluate "${target}" through --endpoint: it asks a server that runs already; leave the folder out and name the server's model by --model, or start a server for it by --serve`,
  );
}

/** Flags that are for one model: a run is asked both splits, keeps its answers itself, and prints its summary. */
const ofOneModel = ["splits", "answers", "items", "price"] as const;

/** Throws `UsageError` where flags were given that are for one model: they would be left out without a word. */
function requireOfRun(given: Command): void {
  const all = listGiven(given);
  const flags = ofOneModel.filter((name) => all[name] !== undefined).map((name) => `--${name}`);
  if (all.serve !== undefined && all.model !== undefined) flags.push("--model");
  if (flags.length > 0)
    throw new UsageError(`Cannot use ${flags.join(", ")} for the checkpoints of a run; leave it out`);
}

function requireEnvironment({ environment }: EvalFlags): string {
  if (environment !== undefined) return environment;
  throw new UsageError(
    "Cannot evaluate without tasks: name their --environment, as in --environment general-points",
  );
}

function parseSplits(text: string): readonly Split[] {
  const named = text.split(",").map((name) => parseChoice<Split>("--splits", name.trim(), splits));
  return [...new Set(named)];
}

async function evaluateFolder(checkpoint: string, flags: EvalFlags): Promise<void> {
  const chosen = parseSplits(flags.splits);
  const options = {
    ...parseTasks(flags),
    environment: requireEnvironment(flags),
    splits: chosen,
    template: parseTemplate(flags),
  };
  const evaluation = await withEffects((effects) => evaluateModel(checkpoint, options, effects));
  const { items, tasks, ...result } = evaluation;
  const lines = [
    ...formatSplits(chosen, evaluation.results),
    ...describeAsked(tasks, flags),
    ...describeTemplate(tasks, evaluation.template),
    ...warn(evaluation.results, tasks),
  ];
  createOutput(flags).print(lines, { checkpoint, ...result, ...(flags.items && { items }) });
}

/** Says so where fewer tasks were asked than usual because there are no more. */
function describeAsked({ environment, evaluation }: AskedTasks, { count }: EvalFlags): readonly string[] {
  const { numTasks } = evaluation;
  return count === undefined && numTasks < 200
    ? ["", `Asked ${numTasks} tasks per split: ${environment} has no more`]
    : [];
}

/** How a model of the embedded engine was asked, where that is a question. */
function describeTemplate({ promptFormat }: AskedTasks, template: "model" | "none"): readonly string[] {
  if (promptFormat === "compact") return [];
  return [
    "",
    template === "model"
      ? "Asked by the model's own chat template"
      : "Asked by plain text, without a chat template",
  ];
}

/** A line about answers that are not complete, where there are any. */
function warn(
  results: Readonly<Partial<Record<Split, SplitResult>>>,
  { evaluation }: AskedTasks,
): readonly string[] {
  const text = describeIncomplete(Object.values(results), evaluation.maxNewTokens);
  return text === undefined ? [] : ["", text];
}

/** A model behind a server that runs already. */
async function evaluateEndpoint(flags: EvalFlags): Promise<void> {
  const { endpoint: url, model } = flags;
  if (url === undefined)
    throw new UsageError(
      "Cannot evaluate nothing: name a checkpoint folder or a run, or a server by --endpoint",
    );
  if (model === undefined)
    throw new UsageError(
      `Cannot ask the server at ${url}: name its model by --model; its /v1/models lists them`,
    );
  parseTemplate(flags, url);
  await askAndPrint({ kind: "endpoint", url, model, requests: parseRequests(flags) }, flags);
}

/** A checkpoint folder, by a server that is started for it. */
async function evaluateByServer(checkpoint: string, flags: EvalFlags): Promise<void> {
  const source = chooseSource(flags);
  if (source.kind !== "server") throw new RangeError("Cannot serve without --serve");
  if (flags.model !== undefined)
    throw new UsageError("Cannot use --model beside --serve: the model is found by its folder; leave it out");
  await askAndPrint(source, flags, checkpoint);
}

async function askAndPrint(
  source: AnswerSource<"server" | "endpoint">,
  flags: EvalFlags,
  checkpoint?: string,
): Promise<void> {
  const { price, answers } = flags;
  const chosen = parseSplits(flags.splits);
  const choice = { ...parseTasks(flags), environment: requireEnvironment(flags) };
  const tasks = await chooseTasks(choice, { splits: chosen });
  if (price !== undefined)
    computeCost({ numPromptTokens: 0, numNewTokens: 0, numAsked: 0, numKnown: 0, numRetries: 0 }, price);
  const options = { tasks, splits: chosen, answers, ...(checkpoint !== undefined && { checkpoint }) };
  const asked = await withEffects((effects) => evaluateServed(source, options, effects));
  const { identity, judge, usage, items, results } = asked;
  const cost = price === undefined ? {} : { cost: computeCost(usage, price) };
  const lines = [
    ...formatSplits(chosen, results),
    ...describeAsked(tasks, flags),
    ...warn(results, tasks),
    "",
    formatUsage(usage, price),
  ];
  createOutput(flags).print(lines, {
    identity,
    ...(judge !== undefined && { judge }),
    environment: tasks.environment,
    results,
    usage: { ...usage, ...cost },
    ...(flags.items && { items }),
  });
}

async function evaluateCheckpoints(path: string, flags: EvalFlags, invocation: Invocation): Promise<void> {
  const choice = parseTasks(flags);
  const source = chooseSource(flags);
  const job = await parseJob(flags, invocation);
  const { summary, evaluated } = await withEffects((effects) =>
    evaluateRun(path, choice, { effects, source, job }),
  );
  const output = createOutput(flags);
  const what =
    evaluated.length === 0
      ? "All checkpoints were evaluated before"
      : `${evaluated.length} checkpoints evaluated`;
  output.print([...formatSummary(summary, { ...output, folder: path }), "", what], summary);
}

function formatSplits(
  chosen: readonly Split[],
  results: Readonly<Partial<Record<Split, SplitResult>>>,
): readonly string[] {
  const head = ["split", "solved [95 %]", "format right", "values right", "loss", "outcomes"];
  return formatTable([head, ...chosen.map((split) => describeSplit(split, results[split]))]);
}

function describeSplit(split: Split, result: SplitResult | undefined): readonly string[] {
  if (result === undefined) return [split];
  const outcomes = Object.entries(result.outcomes).map(([name, count]) => `${name} ${count}`);
  return [
    split,
    formatCount(result.solved),
    `${result.format.correct}/${result.format.total}`,
    `${result.values.correct}/${result.values.total}`,
    result.loss?.toFixed(3) ?? "–",
    outcomes.join(", "),
  ];
}
