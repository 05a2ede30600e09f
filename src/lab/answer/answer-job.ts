/** Answers as a job: a piece for each subject, whose answers are the result. */
import { resolve } from "node:path";
import { z } from "zod";
import { requireItem } from "../../base/core/index.ts";
import type { Effects } from "../../base/progress/index.ts";
import {
  computePieceKey,
  type JobFolder,
  type JobPlan,
  type Piece,
  type PieceHandler,
  parseJobInput,
} from "../../cluster/job/index.ts";
import {
  type AskedTasks,
  isFollowed,
  itemSchema,
  openRunFolder,
  operationSchema,
  requireTasks,
} from "../../run/index.ts";
import { splits } from "../../tasks/environment/index.ts";
import { readTensors } from "../edit/index.ts";
import { measureCheckpoint, stampCheckpoint, stampQuestions } from "../machine/index.ts";
import { type StandaloneSource, standaloneSourceSchema } from "./answer-source.ts";
import type { AnswerWork, TimedAnswers } from "./answer-work.ts";
import type { Answerer, CheckpointSubject, RepairSubject, Subject } from "./answerer.ts";
import { describeAssignment } from "./assignment.ts";
import { openAnswerer } from "./open-answerer.ts";

const checkpointSchema = z.object({ id: z.string(), path: z.string() });
const subjectSchema = z.discriminatedUnion("kind", [
  checkpointSchema.extend({ kind: z.literal("checkpoint") }),
  z.object({
    kind: z.literal("repair"),
    id: z.string(),
    grid: z.string(),
    key: z.string(),
    target: checkpointSchema,
    source: checkpointSchema,
    operation: operationSchema,
    isIdentity: z.boolean(),
  }),
]);
const inputSchema = z.object({
  run: z.string(),
  subjects: z.array(subjectSchema),
  source: standaloneSourceSchema,
});
const resultSchema = z.object({ ms: z.number(), moved: z.number().optional(), items: z.array(itemSchema) });

/** What a server's checkpoint is allowed for in the estimate: it has to be loaded, and is larger than ours. */
const servedSeconds = 1800;

/** What a server takes beside its checkpoint, which passes through memory on its way to a GPU. */
const serverBytes = 4 * 2 ** 30;

/** Bytes of the embedded engine for each parameter: of a model that answers, and of one that is repaired, with the factors of both ends. */
const bytesPerParameter = { checkpoint: 16, repair: 64 } as const;

/** Multiplications of the embedded engine in a second of one core, beside other work. */
const multiplicationsPerSecond = 2e9;

/** The job of all subjects. Folders must have the same paths wherever it is carried out. */
export async function planAnswerJob(
  { kind, folder, subjects: given }: Pick<AnswerWork<Subject>, "kind" | "folder" | "subjects">,
  source: StandaloneSource,
): Promise<JobPlan> {
  const tasks = requireTasks(folder);
  const asked = {
    run: resolve(folder.path),
    tasks,
    asking: isFollowed(folder.recipe) ? folder.recipe.asking : undefined,
    questions: await stampQuestions(tasks.environment),
    source: source.kind === "embedded" ? { kind: source.kind } : source,
  };
  const subjects = given.map(toPlain);
  const stamps = await stampAll(subjects);
  const costs = createCosts(tasks, source);
  const pieces: Piece[] = [];
  for (const subject of subjects)
    pieces.push({
      name: subject.id,
      ...(await costs(subject)),
      key: computePieceKey([asked, subject, listPaths(subject).map((path) => stamps.get(path))]),
    });
  return { kind, input: { ...asked, subjects, stamps: Object.fromEntries(stamps) }, pieces };
}

/** A subject as it is told to another process, which may work in another folder. */
function toPlain(subject: Subject): Subject {
  if (subject.kind === "checkpoint") {
    const { kind, id, path } = subject satisfies CheckpointSubject;
    return { kind, id, path: resolve(path) };
  }
  const place = ({ id, path }: RepairSubject["target"]): RepairSubject["target"] => ({
    id,
    path: resolve(path),
  });
  return { ...subject, target: place(subject.target), source: place(subject.source) };
}

const listPaths = (subject: Subject): readonly string[] =>
  subject.kind === "checkpoint" ? [subject.path] : [subject.target.path, subject.source.path];

async function stampAll(subjects: readonly Subject[]): Promise<ReadonlyMap<string, string>> {
  const paths = [...new Set(subjects.flatMap(listPaths))];
  return new Map(await Promise.all(paths.map(async (path) => [path, await stampCheckpoint(path)] as const)));
}

/** Estimates of time and memory. Each checkpoint is measured once. */
function createCosts(
  tasks: AskedTasks,
  source: StandaloneSource,
): (subject: Subject) => Promise<Pick<Piece, "seconds" | "bytes">> {
  const counts = new Map<string, number>();
  const count = async (path: string): Promise<number> => {
    const known = counts.get(path) ?? (await countParameters(path));
    counts.set(path, known);
    return known;
  };
  return async (subject) => {
    const [path = ""] = listPaths(subject);
    if (source.kind === "server")
      return { seconds: servedSeconds, bytes: serverBytes + (await measureCheckpoint(path)) };
    const numParameters = await count(path);
    const bytes = bytesPerParameter[subject.kind] * numParameters;
    return { seconds: estimateAnswering(tasks, numParameters), bytes };
  };
}

async function countParameters(path: string): Promise<number> {
  const tensors = [...(await readTensors(path)).values()];
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((size, axis) => size * axis, 1), 0);
}

/** Seconds that a model of the embedded engine takes for a run's tasks. */
function estimateAnswering({ evaluation }: AskedTasks, numParameters: number): number {
  const { numTasks, numAttempts, maxNewTokens } = evaluation;
  const numTokens = splits.length * numTasks * numAttempts * maxNewTokens;
  return 2 + (2 * numParameters * numTokens) / multiplicationsPerSecond;
}

/** Carries out pieces: subjects answer the tasks of their run, which is only read; a server's answers are kept as they come. */
export function openAnswerPieces(given: unknown, effects: Effects): PieceHandler {
  const { run, subjects, source } = parseJobInput(inputSchema, given);
  const open = async (): Promise<Answerer> =>
    openAnswerer(source, describeAssignment(await openRunFolder(run)), effects);
  let answerer: Promise<Answerer> | undefined;
  return {
    // Opened by the first piece that needs it: what is wrong with the run is then what each piece fails by.
    carryOut: async ({ index }) => {
      const startMs = effects.now();
      answerer ??= open();
      const { items, moved } = await (await answerer).answer(requireItem(subjects, index));
      return { ms: effects.now() - startMs, ...(moved !== undefined && { moved }), items };
    },
    close: async () => {
      const opened = await answerer?.catch(() => undefined);
      await opened?.close();
    },
  };
}

/** Reads the result of a piece. */
export async function readPieceAnswers(job: JobFolder, piece: number): Promise<TimedAnswers> {
  const { moved, ...answers } = await job.readResult(piece, resultSchema);
  return { ...answers, ...(moved !== undefined && { moved }) };
}
