/** Checkpoints as models behind OpenAI's interface. */
export { startModelServer } from "./serve-model.ts";
