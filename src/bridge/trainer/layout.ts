/**
 * What the names and places of checkpoints say of their trainer and stage, and the files that say how far a trainer has come.
 */

/** Trainers by the names of their step folders and the place of the weights; the first that fits counts. */
const signs: readonly { readonly name: RegExp; readonly place?: RegExp; readonly trainers: string }[] = [
  { name: /^checkpoint-\d+$/, trainers: "Hugging Face Trainer, TRL or LLaMA-Factory" },
  { name: /^global_step\d+(?:_hf)?$/, trainers: "OpenRLHF" },
  { name: /^global_steps?_\d+$/, place: /^policy/, trainers: "SkyRL" },
  { name: /^global_steps?_\d+$/, trainers: "verl" },
  { name: /^step_\d+$/, place: /^policy\/weights/, trainers: "NeMo-RL" },
  { name: /^epoch_\d+_step_\d+$/, trainers: "NeMo AutoModel" },
  { name: /^step_\d+$/, trainers: "open-instruct, torchtune or prime-rl" },
  { name: /^epoch_\d+$/, trainers: "torchtune" },
  { name: /^iter_\d+$/, trainers: "Megatron" },
];

/** Which trainers lay out their checkpoints like that; `undefined` for an unknown one. */
export function describeTrainers(name: string, place: string): string | undefined {
  return signs.find((sign) => sign.name.test(name) && (sign.place?.test(place) ?? true))?.trainers;
}

/** Files beside step folders that name the last complete step, and the names of the folders they speak of. */
export const markers: readonly { readonly file: string; readonly names: RegExp }[] = [
  { file: "latest", names: /^global_step\d/ },
  { file: "latest_checkpointed_iteration.txt", names: /^(?:global_steps?_|iter_)\d/ },
  { file: "latest_ckpt_global_step.txt", names: /^global_steps?_\d/ },
];

/** Words in the path of a training that say it is not a supervised one. */
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
  // Only where there is a critic, too, is the model called an actor or a policy.
  for (const place of [...places, path.slice(path.lastIndexOf("/") + 1)])
    if (/^(?:_?actor(?:_train)?|policy)(?:\/|$)/.test(place))
      return { stage: "rl", because: `its weights lie in ${place}` };
  const [word] = reinforcement.exec(path) ?? [];
  if (word !== undefined) return { stage: "rl", because: `its path says "${word.replace(/^[-_./ ]/, "")}"` };
  return { stage: "sft", because: "nothing in its logs or path speaks of rewards" };
}
