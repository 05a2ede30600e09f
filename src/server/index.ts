/** server: run folders as pages over HTTP, read-only, on this machine; knows nothing of terminals. */
export { type Studio, startStudio } from "./studio.ts";
