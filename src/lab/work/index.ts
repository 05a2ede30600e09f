/** What a process started by an executor does. */
export { workOnPack } from "./work-on-pack.ts";
