/** rollout: a model answers tasks of an environment and is graded; what training and evaluation have in common. */
export {
  type Completion,
  gradeCompletion,
  type IncompleteOutcome,
  incompleteOutcomes,
  type Reply,
  readReply,
} from "./completion.ts";
export {
  collectEpisodes,
  type Episode,
  encodeTaskPrompt,
  type RolloutOptions,
  type Turn,
  writeTaskPrompt,
} from "./rollout.ts";
