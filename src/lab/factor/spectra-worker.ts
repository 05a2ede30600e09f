/** The entry file of worker threads that carry out spectra tasks. */
import { workerData } from "node:worker_threads";
import { serveTasks } from "../../base/threads/index.ts";
import { createSpectraHandler } from "./spectra-task.ts";

serveTasks(createSpectraHandler(workerData));
