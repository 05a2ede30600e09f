/** Regular expressions within a limit of time: on a text that repeats itself, some would take hours. */
import { createContext, Script } from "node:vm";
import { toObject } from "../core/index.ts";

const sandbox = createContext({ isFound: (): boolean => false });
const script = new Script("isFound()");

/** Whether the expression is found in the text; `undefined` where that is not known after `limitMs` milliseconds. */
export function matchWithin(expression: RegExp, text: string, limitMs: number): boolean | undefined {
  sandbox.isFound = () => expression.test(text);
  try {
    return script.runInContext(sandbox, { timeout: limitMs }) === true;
  } catch (error) {
    // Made by Node for the sandbox: no instance of this realm's Error.
    const { code } = toObject(error);
    if (code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return undefined;
    throw error;
  }
}
