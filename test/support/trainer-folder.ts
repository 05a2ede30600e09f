/** Folders of checkpoints as each trainer lays them out, made of small models. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeEvents } from "../../src/base/file/index.ts";
import { writeAdapterFolder } from "./adapter-folder.ts";
import { buildModel, writeCheckpointFolder } from "./checkpoint-folder.ts";

/** What makes a layout. */
interface TrainerLayout {
  /** The step folder, relative to the output folder. */
  readonly step: (step: number) => string;
  /** Where the Hugging Face files lie in it. */
  readonly place?: string;
  /** Further files by their path in the output folder. */
  readonly files?: (steps: readonly number[]) => Readonly<Record<string, string | Uint8Array>>;
  /** Stage it should be taken for. */
  readonly stage: "sft" | "rl";
}

const last = (steps: readonly number[]): number => Math.max(0, ...steps);

/** `trainer_state.json` as the Hugging Face Trainer writes it at a step: the whole history so far. */
export function describeState(
  step: number,
  metrics: (at: number) => object,
  logged: readonly number[],
): string {
  const history = logged
    .filter((at) => at <= step)
    .map((at) => ({ epoch: at / 100, step: at, ...metrics(at) }));
  return JSON.stringify({ global_step: step, epoch: step / 100, max_steps: 1000, log_history: history });
}

const sftMetrics = (at: number): object => ({ loss: 2 / at, grad_norm: 0.5, learning_rate: 1e-5 });
const grpoMetrics = (at: number): object => ({ loss: 0.01, reward: at / 100, kl: 0.02, entropy: 0.3 });

const statesOf =
  (folder: string, metrics: (at: number) => object) =>
  (steps: readonly number[]): Readonly<Record<string, string>> =>
    Object.fromEntries(
      steps.flatMap((step) => [
        [`${folder}${step}/trainer_state.json`, describeState(step, metrics, steps)],
        [`${folder}${step}/optimizer.pt`, "pickle"],
        [`${folder}${step}/training_args.bin`, "pickle"],
      ]),
    );

/** Every layout that is followed, by the trainer's name. */
export const trainerLayouts: Readonly<Record<string, TrainerLayout>> = {
  "the Hugging Face Trainer": {
    stage: "sft",
    step: (step) => `checkpoint-${step}`,
    files: statesOf("checkpoint-", sftMetrics),
  },
  TRL: { stage: "rl", step: (step) => `checkpoint-${step}`, files: statesOf("checkpoint-", grpoMetrics) },
  "LLaMA-Factory": {
    stage: "sft",
    step: (step) => `checkpoint-${step}`,
    files: (steps) => ({
      "trainer_log.jsonl": steps
        .map(
          (step) =>
            `${JSON.stringify({ current_steps: step, total_steps: 1000, loss: 2 / step, lr: 1e-5 })}\n`,
        )
        .join(""),
      "all_results.json": "{}",
    }),
  },
  verl: {
    stage: "rl",
    step: (step) => `project/experiment/global_step_${step}`,
    place: "actor/huggingface",
    files: (steps) => ({
      "project/experiment/latest_checkpointed_iteration.txt": `${last(steps)}`,
      ...Object.fromEntries(
        steps.flatMap((step) => [
          [`project/experiment/global_step_${step}/actor/model_world_size_2_rank_0.pt`, "pickle"],
          [`project/experiment/global_step_${step}/critic/model_world_size_2_rank_0.pt`, "pickle"],
          [`project/experiment/global_step_${step}/data.pt`, "pickle"],
        ]),
      ),
    }),
  },
  OpenRLHF: {
    stage: "rl",
    step: (step) => `ckpt-ppo/global_step${step}_hf`,
    files: (steps) => ({
      "ckpt-ppo/_actor/latest": `global_step${last(steps)}`,
      [`ckpt-ppo/_actor/global_step${last(steps)}/mp_rank_00_model_states.pt`]: "pickle",
      "ckpt-ppo/events.out.tfevents.1700000000.host.1.0": encodeEvents(
        steps.map((step) => ({
          name: "rollout/reward_mean",
          step,
          value: step / 100,
          wallTime: 1_700_000_000 + step,
        })),
      ),
    }),
  },
  SkyRL: {
    stage: "rl",
    step: (step) => `global_step_${step}`,
    place: "policy/huggingface",
    files: (steps) => ({
      "latest_ckpt_global_step.txt": `${last(steps)}`,
      ...Object.fromEntries(steps.map((step) => [`global_step_${step}/policy/model_state.pt`, "pickle"])),
    }),
  },
  torchtune: {
    stage: "sft",
    step: (step) => `epoch_${step}`,
    files: () => ({
      "recipe_state/recipe_state.pt": "pickle",
      "logs/log_1700000000.txt": "Step 1 | loss:2.0\n",
    }),
  },
  "open-instruct": { stage: "sft", step: (step) => `tulu_checkpoints/step_${step}` },
};

/** Writes a training's output folder with whole checkpoints at these steps, and gives its path. */
export async function writeTrainerFolder(
  folder: string,
  trainer: string,
  steps: readonly number[],
): Promise<string> {
  const { step: name, place = "", files = () => ({}) } = trainerLayouts[trainer]!;
  for (const step of steps)
    await writeCheckpointFolder(join(folder, name(step), place), buildModel(`${trainer} ${step}`, "BF16"), {
      numShards: 2,
    });
  for (const [path, content] of Object.entries<string | Uint8Array>(files(steps))) {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

/** Writes the output folder of a LoRA training by the Hugging Face Trainer. */
export async function writeAdapterTraining(
  folder: string,
  base: string,
  steps: readonly number[],
): Promise<string> {
  for (const step of steps) {
    await writeAdapterFolder(join(folder, `checkpoint-${step}`), {
      base,
      modules: { "model.layers.0.self_attn.q_proj": [24, 24, 4] },
      seed: `step ${step}`,
    });
    writeFileSync(
      join(folder, `checkpoint-${step}/trainer_state.json`),
      describeState(step, sftMetrics, steps),
    );
  }
  return folder;
}
