/** Models behind servers that speak OpenAI's interface: requests with retries, answers kept. */
export { findApiKey, isLoopback } from "./address.ts";
export { openAnswerStore } from "./answer-store.ts";
export { maskKey, stripControls } from "./clean-text.ts";
export {
  type AskingOptions,
  createAdapterHost,
  createEndpoint,
  type Endpoint,
  type EndpointOptions,
  type Interface,
  interfaces,
} from "./endpoint.ts";
export { findDifference, identifiesWeights, identityShape, type ModelIdentity } from "./payload.ts";
