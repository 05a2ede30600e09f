/** Tasks of spectra carried out on all cores, with progress, an estimate and a way to stop. */
import { availableParallelism } from "node:os";
import { locateThread } from "../../base/machine/index.ts";
import { type Effects, type LabEvent, StoppedError } from "../../base/progress/index.ts";
import { carryOut, createWorkerPool, type PlannedTask, type Workers } from "../../base/threads/index.ts";
import type { SpectraAnswer, SpectraMachine, SpectraTask } from "./spectra-task.ts";

/** Who carries out tasks of spectra. */
export type SpectraWorkers = Workers<SpectraTask, SpectraAnswer>;

/** What of the machine work may use. */
export interface MachineShare {
  readonly cores: number;
  /** Tasks that run together take at most this much memory, unless one alone takes more. */
  readonly bytes: number;
}

const wholeMachine = (): MachineShare => ({ cores: availableParallelism(), bytes: 2 ** 30 });

/** A pool of workers, one for each core, that share a cache. Whoever makes it closes it. */
export function createSpectraPool(
  { cacheFolder, lapack, pythonFolders }: SpectraMachine,
  { cores }: MachineShare = wholeMachine(),
): SpectraWorkers {
  const data: SpectraMachine = { cacheFolder, pythonFolders, ...(lapack !== undefined && { lapack }) };
  return createWorkerPool({ url: locateThread("spectra-worker"), data, size: cores });
}

/** What progress calls the work. */
type Work = Extract<LabEvent, { readonly kind: "progress" }>["work"];

/** Carries out tasks, tells how far it is, and what the cache had to make again. */
export interface SpectraRunner {
  /** Sets what is still to be done after what was done. */
  expect(cost: number): void;
  run(
    tasks: readonly PlannedSpectraTask[],
    onAnswer: (task: SpectraTask, answer: SpectraAnswer) => void,
  ): Promise<void>;
  notice(text: string): void;
}

/** A task of spectra and what it takes. */
export type PlannedSpectraTask = PlannedTask<SpectraTask>;

/** A runner on workers. */
export function createSpectraRunner(
  {
    work,
    share: { cores, bytes } = wholeMachine(),
  }: { readonly work: Work; readonly share?: MachineShare | undefined },
  effects: Effects,
  workers: SpectraWorkers,
): SpectraRunner {
  const startMs = effects.now();
  let [done, total] = [0, 1];
  const notice = (text: string): void => effects.report({ kind: "notice", text });
  const report = (what: string): void => {
    const doneFraction = Math.min(1, done / total);
    const remainingMs = ((effects.now() - startMs) * (1 - doneFraction)) / doneFraction;
    effects.report({ kind: "progress", work, what, doneFraction, ...(done > 0 && { remainingMs }) });
  };
  return {
    notice,
    expect: (cost) => {
      total = done + cost;
    },
    run: async (tasks, onAnswer) => {
      await carryOut(tasks, {
        workers,
        memoryBytes: bytes,
        numCores: cores,
        signal: effects.signal,
        onDone: ({ task, cost }, answer) => {
          done += cost;
          for (const path of answer.damaged) notice(`Damaged cache entry made again: ${path}`);
          onAnswer(task, answer);
          report(describeTask(task));
        },
      });
      if (effects.signal.aborted) throw new StoppedError();
    },
  };
}

function describeTask(task: SpectraTask): string {
  switch (task.kind) {
    case "fingerprint":
      return `read ${task.tensor.name}`;
    case "factorize":
      return `factorized ${task.tensor.name}`;
    case "compare":
      return `compared ${task.after.name}`;
  }
}
