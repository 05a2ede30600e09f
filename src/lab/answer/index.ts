/** Who answers tasks: the embedded engine, a server for each checkpoint, adapters at one server, a server that runs. */
export { openAnswerPieces } from "./answer-job.ts";
export { answerMissing, requireOwnServers } from "./answer-missing.ts";
export type { AnswerSource, RequestOptions, RunSource } from "./answer-source.ts";
export type { AnswerJobKind, TimedAnswers } from "./answer-work.ts";
export type {
  Answerer,
  Answers,
  Assignment,
  CheckpointSubject,
  RepairSubject,
  Subject,
  Usage,
} from "./answerer.ts";
export { describeAssignment, describeStandalone } from "./assignment.ts";
export { checkDemand, requireEndToken, requireNoJudge } from "./check-demand.ts";
export { chooseTasks, chooseTemplate, resolveEnvironment, type TaskChoice } from "./choose-tasks.ts";
export { createEmbeddedAnswerer } from "./embedded-answerer.ts";
export { createRunEngine, type RunEngine } from "./engine.ts";
export { createFirstModel, restoreFirstModel } from "./first-model.ts";
export { openAnswerer } from "./open-answerer.ts";
export { identifyJudge, requireSameJudge } from "./server/judge.ts";
