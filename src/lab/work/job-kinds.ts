/** The kinds of jobs, and who carries out their pieces. A new kind does not compile without its handler. */
import type { Effects } from "../../base/progress/index.ts";
import type { PieceHandler } from "../../cluster/job/index.ts";
import { type AnswerJobKind, openAnswerPieces } from "../answer/index.ts";
import { openSpectraPieces, type spectraJobKind } from "../comparison/index.ts";

/** All kinds. */
export type JobKind = AnswerJobKind | typeof spectraJobKind;

/** Opens the handler of a job's pieces, by the job's kind and for its input. Throws where the input is malformed. */
export const jobKinds: {
  readonly [Kind in JobKind]: (input: unknown, effects: Effects) => PieceHandler;
} = {
  spectra: openSpectraPieces,
  evaluation: openAnswerPieces,
  repair: openAnswerPieces,
};
