/** endpoint: models behind servers that speak OpenAI's interface: asked, identified, and their answers kept. */
export { findApiKey, isLoopback } from "./address.ts";
export { type AnswerStore, openAnswerStore } from "./answer-store.ts";
export { maskKey, stripControls } from "./clean-text.ts";
export {
  type AdapterHost,
  type AskingOptions,
  createAdapterHost,
  createEndpoint,
  type Endpoint,
  type EndpointOptions,
  type Interface,
  interfaces,
  type Message,
} from "./endpoint.ts";
export {
  type EndpointAnswer,
  findDifference,
  identifiesWeights,
  identityShape,
  type ModelIdentity,
} from "./payload.ts";
