/** Run folders as pages over HTTP, read-only. */
export { startStudio } from "./studio.ts";
