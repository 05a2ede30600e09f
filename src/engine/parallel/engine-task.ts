/** What a core is asked for and what it answers, as plain data that goes from thread to thread. */
import type { RandomState } from "../../base/core/index.ts";
import type {
  Generation,
  GenerationOptions,
  GenerationRequest,
  ModelConfig,
  Sequence,
} from "../model/index.ts";
import type { EncodedProgram, TensorData } from "../tensor/index.ts";

/** Values of a program's inputs by name. */
export type Feeds = Readonly<Record<string, TensorData>>;

/** What comes of a program, by the names of its outputs. */
export type Results = Readonly<Record<string, Float32Array>>;

/** Arrays may lie on shared memory: they are copied before anything reads them. */
export type EngineTask = ProgramTask | GenerationTask | ScoringTask;

/** A run of a program, which is compiled where it was not yet. */
export interface ProgramTask {
  readonly kind: "run";
  /** Another number for each program. */
  readonly id: number;
  readonly program: EncodedProgram;
  readonly feeds: Feeds;
}

/** A model and its parameters, in the order of its layout. */
export interface PosedModel {
  readonly config: ModelConfig;
  readonly parameters: Float32Array;
  /** Threads of one operation. */
  readonly numThreads: number;
  /** Texts that are read together. */
  readonly batchSize: number;
}

/** Texts to continue. */
export interface GenerationTask extends PosedModel {
  readonly kind: "generate";
  readonly requests: readonly PosedRequest[];
  readonly options: GenerationOptions;
}

/** A text, and where the stream is that its answer is drawn from. */
export type PosedRequest = Omit<GenerationRequest, "random"> & { readonly random: RandomState };

/** Answers to score, at that temperature. */
export interface ScoringTask extends PosedModel {
  readonly kind: "score";
  readonly sequences: readonly Sequence[];
  readonly temperature: number;
}

/** What a core answers. */
export type EngineAnswer =
  | { readonly kind: "run"; readonly results: Results }
  | { readonly kind: "generate"; readonly generations: readonly Generation[] }
  /** log π of each answer's tokens. */
  | { readonly kind: "score"; readonly scores: readonly Float32Array[] };

type AnswerOf<Kind extends EngineAnswer["kind"]> = Extract<EngineAnswer, { readonly kind: Kind }>;

/** An answer to a task of that kind. Throws `TypeError` for any other. */
export function requireAnswer<Kind extends EngineAnswer["kind"]>(
  answer: EngineAnswer,
  kind: Kind,
): AnswerOf<Kind> {
  if (!isAnswerTo(answer, kind))
    throw new TypeError(`Cannot take an answer to "${answer.kind}" for one to "${kind}"`);
  return answer;
}

function isAnswerTo<Kind extends EngineAnswer["kind"]>(
  answer: EngineAnswer,
  kind: Kind,
): answer is AnswerOf<Kind> {
  return answer.kind === kind;
}
