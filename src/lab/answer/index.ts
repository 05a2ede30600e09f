/** Who answers a run's tasks: the embedded engine, a server for each checkpoint, adapters at one server. */
export { type AdapterServer, type AdapterWay, connectAdapters } from "./adapter-server.ts";
export { answerTasks } from "./answer-tasks.ts";
export { askCheckpoint, askServed } from "./ask-checkpoint.ts";
export { askEndpoint, countSplits, type EndpointChoice, type Usage } from "./ask-endpoint.ts";
export { checkDemand, reportNotFinite, requireEndToken, requireNoJudge } from "./check-model.ts";
export { chooseTasks, chooseTemplate, resolveEnvironment, type TaskChoice } from "./choose-tasks.ts";
export { identifyJudge, requireSameJudge } from "./judge.ts";
export { checkTemplate, type ServeWay, withServer } from "./serve-checkpoint.ts";
export {
  createFirstModel,
  createWorkshop,
  fitWorkshop,
  restoreFirstModel,
  type Workshop,
} from "./workshop.ts";
