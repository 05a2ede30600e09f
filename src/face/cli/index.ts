/** Commands: arguments in, sentences and exit codes out. */
export { main } from "./main.ts";
