/** rollout: a model answers tasks of an environment and is graded; what training and evaluation have in common. */
export { collectEpisodes, type Episode, type RolloutOptions, type Turn } from "./rollout.ts";
