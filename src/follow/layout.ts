/**
 * How trainers lay out their checkpoints: the names of step folders, where the Hugging Face files lie in them, the files that
 * say how far the trainer has come, and how to get safetensors out of those that keep pickles.
 */

/** One convention for the names of step folders. */
export interface Layout {
  /** Trainers that use it. */
  readonly trainers: string;
  /** The whole name of a step folder; its first group is the step. */
  readonly name: RegExp;
  /** Places of the Hugging Face files in a step folder, best first. */
  readonly places: readonly string[];
  /** Files beside the step folders that name the last complete step. */
  readonly markers: readonly string[];
  /** What to do where the weights are pickles. */
  readonly remedy: string;
}

/** All conventions; the first that fits a name counts. */
export const layouts: readonly Layout[] = [
  {
    trainers: "Hugging Face Trainer, TRL or LLaMA-Factory",
    name: /^checkpoint-(\d+)$/,
    places: [""],
    markers: [],
    remedy:
      "train with save_safetensors, or load and save each checkpoint again with safe_serialization=True",
  },
  {
    trainers: "OpenRLHF",
    name: /^global_step(\d+)(?:_hf)?$/,
    places: [""],
    markers: ["latest"],
    remedy: "train with --ckpt.save_hf, which writes global_step<n>_hf folders",
  },
  {
    trainers: "verl or SkyRL",
    name: /^global_steps?_(\d+)(?:_hf)?$/,
    places: ["actor/huggingface", "policy/huggingface", "huggingface", "actor", "policy", ""],
    markers: ["latest_checkpointed_iteration.txt", "latest_ckpt_global_step.txt"],
    remedy:
      "add hf_model to the trainer's checkpoint.save_contents, or merge each step once with python -m verl.model_merger merge --backend fsdp --local_dir <step>/actor --target_dir <step>/actor/huggingface",
  },
  {
    trainers: "open-instruct, torchtune or prime-rl",
    name: /^step_(\d+)(?:_hf)?$/,
    places: ["", "huggingface"],
    markers: [],
    remedy: "save the model as safetensors (torchtune: safe_serialization: True)",
  },
  {
    trainers: "torchtune",
    name: /^epoch_(\d+)$/,
    places: [""],
    markers: [],
    remedy: "save the model as safetensors (safe_serialization: True)",
  },
];

/** The step that a folder's name claims, and by which convention; `undefined` for a folder that is none. */
export function readStepName(name: string): { readonly step: number; readonly layout: Layout } | undefined {
  for (const layout of layouts) {
    const [, step] = layout.name.exec(name) ?? [];
    if (step !== undefined) return { step: Number(step), layout };
  }
  return undefined;
}

/** Files of weights that would have to be executed to be read. */
const pickles = /\.(?:pt|pth|bin|ckpt|distcp)$/;
/** Pickles that hold no weights. */
const otherPickles =
  /^(?:optimizer|scheduler|rng_state.*|training_args|scaler|data|trainer_state|random_states.*)\.(?:pt|pth|bin|pkl)$/;

/** Whether a file is one of pickled weights. */
export function isPickledWeights(file: string): boolean {
  return pickles.test(file) && !otherPickles.test(file);
}

/** Words in the path of a training that say it is no supervised one. */
const reinforcement =
  /(?:^|[-_./ ])(?:rl|rlhf|rlvr|grpo|gspo|ppo|dapo|rloo|reinforce|dpo|kto|orpo)(?=$|[-_./ \d])/i;
/** Metrics that only reinforcement learning logs. */
const reinforcementMetrics =
  /^(?:reward$|reward[s_/]|rollout\/reward|critic\/(?:score|rewards)|actor\/pg_loss)/;

/** What a training says of its kind: the stage, and by what. */
export interface StageGuess {
  readonly stage: "sft" | "rl";
  /** As a clause: `it logs "reward"`. */
  readonly because: string;
}

/** Guesses the stage of a training by what it logs, where it keeps its weights, and its path. */
export function guessStage({
  metrics,
  places,
  path,
}: {
  readonly metrics: Iterable<string>;
  /** Where in the step folders the weights lie. */
  readonly places: Iterable<string>;
  readonly path: string;
}): StageGuess {
  for (const name of metrics)
    if (reinforcementMetrics.test(name)) return { stage: "rl", because: `it logs "${name}"` };
  for (const place of places)
    if (/^(?:actor|policy)(?:\/|$)/.test(place))
      return { stage: "rl", because: `its weights lie in ${place}` };
  const [word] = reinforcement.exec(path) ?? [];
  if (word !== undefined) return { stage: "rl", because: `its path says "${word.replace(/^[-_./ ]/, "")}"` };
  return { stage: "sft", because: "nothing in its logs or path speaks of rewards" };
}
