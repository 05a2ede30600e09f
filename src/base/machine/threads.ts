/** How many threads the engine uses. */
import { availableParallelism } from "node:os";

/** Models of this size gain nothing from more threads. */
const mostThreads = 4;

/** The threads that the engine uses on this machine. */
export function chooseNumThreads(): number {
  return Math.min(mostThreads, availableParallelism());
}
