/** cli: the command line; parses, calls the lab, prints. */
export { main } from "./main.ts";
