/** The entry file of the thread that a served model runs in, so that its steps never keep the server from answering. */
import { constants, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { hostModel } from "./model-host.ts";

if (parentPort === null) throw new TypeError("Cannot host a model: this is not a worker thread");
// On Linux this is of this thread and of those that it starts: the server's own thread comes before them.
if (process.platform === "linux") setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
await hostModel(parentPort, workerData);
