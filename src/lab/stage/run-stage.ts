/** Running a stage: steps, metrics, checkpoints; stopped and resumed at any step without changing the outcome. */
import { UsageError } from "../../base/core/index.ts";
import { StoppedError } from "../../base/progress/index.ts";
import { requireTrained } from "../../run/index.ts";
import type { StepMetrics, Trainer, TrainingState } from "../../training/index.ts";
import type { RunEngine } from "../answer/index.ts";
import { keepCheckpoint } from "../evaluation/index.ts";
import { nameCheckpoint, type StagePlan } from "./stage-plan.ts";
import { createStageTrainer } from "./stage-trainer.ts";
import { loadState, type SavedState, saveState } from "./state-file.ts";

/** The training state is saved at checkpoints, and in between whenever this much time has passed. */
const saveIntervalMs = 5_000;

/** Runs a stage to its end, from wherever an earlier process left it. `newModel` are the parameters of a new model. */
export async function runStage(engine: RunEngine, plan: StagePlan, newModel: Float32Array): Promise<void> {
  const { folder } = engine;
  const end = nameCheckpoint(plan, plan.numSteps);
  const isDone = (await folder.readLineage()).some(({ id }) => id === end);
  if (!isDone) {
    const start = plan.start === undefined ? newModel : await engine.loadParameters(plan.start);
    const trainer = await createTrainer(engine, plan, start);
    try {
      await train(engine, { plan, trainer, start });
    } finally {
      await trainer.release();
    }
  }
  await folder.removeState(plan.id);
}

function createTrainer(engine: RunEngine, plan: StagePlan, start: Float32Array): Promise<Trainer> {
  const { folder, environment, config, tokenizer, policies } = engine;
  const { seed } = folder.record;
  return createStageTrainer(plan, {
    recipe: requireTrained(folder),
    seed,
    environment,
    config,
    tokenizer,
    policies,
    start,
    loadSftParameters: (step) => engine.loadParameters(`sft-${step}`),
  });
}

interface Training {
  readonly plan: StagePlan;
  readonly trainer: Trainer;
  readonly start: Float32Array;
}

async function train(engine: RunEngine, training: Training): Promise<void> {
  const { folder, effects } = engine;
  const { plan, trainer } = training;
  const statePath = folder.locateState(plan.id);
  let saved = (await loadState(statePath)) ?? { step: 0, state: trainer.start(training.start) };
  const metrics = await folder.openMetrics(plan.id, saved.step);
  let trainingMs = 0;
  const save = async (): Promise<void> => {
    // Metrics first: a state must never be ahead of what was logged on the way to it.
    await metrics.sync();
    await saveState(statePath, saved);
    await folder.addTiming(plan.kind.stage, trainingMs);
    trainingMs = 0;
  };
  try {
    await keepIfAsked(engine, training, saved);
    let savedMs = effects.now();
    while (saved.step < plan.numSteps) {
      const taken = await takeStep(engine, training, { saved, append: (line) => metrics.append(line) });
      saved = taken.saved;
      trainingMs += taken.ms;
      const isCheckpoint = plan.checkpointSteps.includes(saved.step);
      if (isCheckpoint || effects.signal.aborted || effects.now() - savedMs > saveIntervalMs) {
        await save();
        savedMs = effects.now();
      }
      if (effects.signal.aborted) throw new StoppedError();
      await keepIfAsked(engine, training, saved);
    }
  } finally {
    await metrics.close();
  }
}

interface Step {
  readonly saved: SavedState;
  append(line: Readonly<Record<string, unknown>>): Promise<void>;
}

async function takeStep(
  { effects }: RunEngine,
  { plan, trainer }: Training,
  { saved, append }: Step,
): Promise<{ readonly saved: SavedState; readonly ms: number }> {
  const startMs = effects.now();
  const step = saved.step + 1;
  const { state, metrics } = await trainer.step(saved.state, step);
  const diverged = findDiverged(metrics, state);
  if (diverged !== undefined)
    throw new UsageError(
      `Cannot go on with ${plan.id}: training diverged at step ${step} (${diverged}); lower its learningRate or maxGradientNorm`,
    );
  const ms = effects.now() - startMs;
  const tokensPerSecond = Math.round(metrics.numTokens / (ms / 1000));
  await append({ step, ...metrics, ms: Math.round(ms * 10) / 10, tokensPerSecond });
  effects.report({ kind: "step", stage: plan.id, step, ms, metrics });
  return { saved: { step, state }, ms };
}

/** What of a step is not finite any more, in words. */
function findDiverged(
  { loss, gradientNorm }: Pick<StepMetrics, "loss" | "gradientNorm">,
  { parameters }: Pick<TrainingState, "parameters">,
): string | undefined {
  if (!Number.isFinite(loss)) return `loss ${loss}`;
  if (!Number.isFinite(gradientNorm)) return `gradient norm ${gradientNorm}`;
  return isFiniteVector(parameters) ? undefined : "parameters are not finite";
}

function isFiniteVector(values: Float32Array): boolean {
  // A plain loop: this looks at every parameter after every step.
  for (let index = 0; index < values.length; index++) if (!Number.isFinite(values[index])) return false;
  return true;
}

/** Keeps the checkpoint of the state where the plan asks for one at this step. */
async function keepIfAsked(
  engine: RunEngine,
  { plan, trainer }: Training,
  { step, state }: SavedState,
): Promise<void> {
  if (!plan.checkpointSteps.includes(step)) return;
  const before = plan.checkpointSteps.filter((earlier) => earlier < step).at(-1);
  const parent = before === undefined ? plan.start : nameCheckpoint(plan, before);
  await keepCheckpoint(engine, {
    id: nameCheckpoint(plan, step),
    stage: plan.kind.stage,
    ...(plan.kind.stage === "rl" && { branch: plan.kind.branch }),
    step,
    ...(parent !== undefined && { parent }),
    parameters: await trainer.parameters(state),
  });
}
