/** An HTTP server on this machine, and who may ask it. */
export { listen, type Served } from "./listen.ts";
export { findIntruder } from "./site.ts";
