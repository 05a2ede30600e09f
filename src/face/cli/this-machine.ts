/** The machine that a command runs on, as its environment describes it. */
import { homedir } from "node:os";
import { type Machine, readMachine } from "../../base/machine/index.ts";

/** Reads the environment of this process. */
export const thisMachine = (): Machine => readMachine(process.env, homedir());
