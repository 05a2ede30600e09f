/** A model answers tasks and is graded, for training and evaluation alike. */
export { type Completion, gradeCompletion, incompleteOutcomes, type Reply, readReply } from "./completion.ts";
export {
  collectEpisodes,
  type Episode,
  encodeTaskPrompt,
  type RolloutOptions,
  type Turn,
  writeTaskPrompt,
} from "./rollout.ts";
