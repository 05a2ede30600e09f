/** Seeded randomness, errors that a user can fix, and values of unknown shape. */
export { describeError, findExitCode, UsageError } from "./errors.ts";
export { parsePythonJson } from "./python-json.ts";
export { quoteForShell } from "./quote-for-shell.ts";
export { createRandom, type Random, type RandomState, resumeRandom } from "./random.ts";
export { requireItem, requireValue } from "./require.ts";
export { showAddress } from "./show-address.ts";
export { isObject, toObject } from "./to-object.ts";
export { toExpressionSource } from "./wildcard.ts";
export { action, renderMessage, type Setting, setting, type Wording } from "./wording.ts";
