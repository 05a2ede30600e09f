/** The entry file of the threads that help with the engine's work. */
import { serveTasks } from "../../base/threads/index.ts";
import { createEngineHandler } from "./engine-handler.ts";

serveTasks(createEngineHandler().handle);
