/**
 * Who answers tasks: one small interface for the embedded engine, servers and whoever comes next. What they have in common is
 * in the contract suite, `answerer-contract.test.ts`.
 */
import type { Effects } from "../../base/progress/index.ts";
import type { ModelIdentity } from "../../bridge/endpoint/index.ts";
import type { Model, StoredModel, TemplateUse } from "../../engine/model/index.ts";
import type { AskedTasks } from "../../run/index.ts";
import type { Split } from "../../tasks/environment/index.ts";
import type { EvaluatedItem } from "../../tasks/evaluation/index.ts";
import type { Operation } from "../../weights/surgery/index.ts";
import type { JudgeRecord } from "./server/judge.ts";

/** A checkpoint, by the name that its run gives it or its user, and where its weights are. */
export interface NamedCheckpoint {
  readonly id: string;
  /** Its folder. */
  readonly path: string;
}

/** A checkpoint that is asked. */
export interface CheckpointSubject extends NamedCheckpoint {
  readonly kind: "checkpoint";
  /** The model, or what its folder says of it, where that is in memory. */
  readonly model?: Model | StoredModel;
}

/** A repair that is asked: a checkpoint edited by what another one has. */
export interface RepairSubject {
  readonly kind: "repair";
  /** What it is called in its grid. */
  readonly id: string;
  readonly grid: string;
  /** The name of its files: a hash of the checkpoints and of what is done. */
  readonly key: string;
  readonly target: NamedCheckpoint;
  readonly source: NamedCheckpoint;
  readonly operation: Operation;
  /** Whether nothing is changed but by decomposing and rebuilding: then the target itself may answer. */
  readonly isIdentity: boolean;
}

/** What is asked. */
export type Subject = CheckpointSubject | RepairSubject;

/** What is asked of each subject, and how: the same for all, or they could not be compared. */
export interface Assignment {
  readonly tasks: AskedTasks;
  readonly splits: readonly Split[];
  /** How chats are put to the embedded engine. Default: as plain text. */
  readonly template?: TemplateUse | undefined;
  /** Threads of the embedded engine. */
  readonly numThreads: number;
  /** Whether the embedded engine looks for what the same weights answered before. */
  readonly isRemembered: boolean;
  /** The judge that graded earlier subjects: no other may grade these. */
  readonly judge?: JudgeRecord | undefined;
  /** The file that keeps a server's answers as they come; `undefined` for one in the cache, named after model and settings. */
  readonly locateAnswers: (subject: Subject) => string | undefined;
  /** Where a repair lies as an adapter while a server has it. */
  readonly locateAdapter: (subject: RepairSubject) => string;
  /** What a subject is called in messages, such as `a checkpoint of "runs/mine"`. */
  readonly owner: string;
}

/** What asking a server took. */
export interface Usage {
  /** Answers that were given now, and that were there from before. */
  readonly numAsked: number;
  readonly numKnown: number;
  /** Requests that failed and were sent again. */
  readonly numRetries: number;
  /** Tokens of all answers that the result rests on, those from before included. */
  readonly numPromptTokens: number;
  readonly numNewTokens: number;
}

/** What a subject answered. */
export interface Answers {
  readonly items: readonly EvaluatedItem[];
  /** Of a repair: ‖edited − target‖ / ‖target‖ over the edited tensors. */
  readonly moved?: number;
  /** Where a server answered: whose answers they are, and what they took. */
  readonly served?: {
    readonly identity: ModelIdentity;
    /** Who graded what only a model can grade. */
    readonly judge?: ModelIdentity | undefined;
    readonly usage: Usage;
  };
}

/** Who answers. It opens what it needs when it is asked for the first time; whoever creates it closes it. */
export interface Answerer {
  /** Those of the subjects that it can answer for. Reads headers of checkpoints at the most. */
  choose<One extends Subject>(subjects: readonly One[]): Promise<readonly One[]>;
  /**
   * Brings into place what the missing ones of all subjects need, once for all of them. May be left out: `answer` does it for
   * one then. Throws `UsageError` where subjects do not go together.
   */
  prepare(
    subjects: { readonly all: readonly Subject[]; readonly missing: readonly Subject[] },
    effects: Effects,
  ): Promise<void>;
  /** The answers to all tasks. Throws `UsageError`, `CheckpointError`, and `StoppedError` once a stop is wished. */
  answer(subject: Subject): Promise<Answers>;
  close(): Promise<void>;
}
