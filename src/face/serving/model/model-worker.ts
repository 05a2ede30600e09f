/** The entry file of the thread that a served model runs in, so that its steps never keep the server from answering. */
import { parentPort, workerData } from "node:worker_threads";
import { hostModel } from "./model-host.ts";

if (parentPort === null) throw new TypeError("Cannot host a model: this is not a worker thread");
await hostModel(parentPort, workerData);
