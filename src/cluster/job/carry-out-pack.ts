/** What a process of an executor does: the pieces of one pack that have no result yet, each kept as soon as it is done. */
import { describeError, UsageError } from "../../base/core/index.ts";
import type { JobFolder } from "./job-folder.ts";
import type { Piece } from "./job-plan.ts";
import { countWorkBytes } from "./pack-pieces.ts";

/** What carrying out a piece may use. */
export interface PieceShare {
  readonly cores: number;
  readonly bytes: number;
}

/** Carries out pieces of one kind of job; opened once for a pack. */
export interface PieceHandler {
  /** The result, as JSON. Throws; after a `CheckpointError` the piece is not tried again. */
  carryOut(piece: Piece & { readonly index: number }, share: PieceShare): Promise<unknown>;
  close(): Promise<void>;
}

/** How a pack is carried out. */
export interface PackWork {
  readonly open: OpenHandler;
  readonly log: (line: string) => void;
  /** What the machine is called. */
  readonly node: string;
}

/** Opens a handler for a job's kind and input. */
export type OpenHandler = (job: { readonly kind: string; readonly input: unknown }) => Promise<PieceHandler>;

/**
 * Carries out a pack. Pieces that have results are left alone, whoever made them; one that fails does not keep the others from being
 * done. Returns the number of failures. Throws `UsageError` where the job has no such pack.
 */
export async function carryOutPack(
  job: JobFolder,
  place: { readonly submission: number; readonly pack: number },
  { open, log, node }: PackWork,
): Promise<number> {
  const submission = (await job.readSubmissions()).find(({ number }) => number === place.submission);
  const pieces = submission?.packs[place.pack];
  if (submission === undefined || pieces === undefined)
    throw new UsageError(
      `Cannot carry out pack ${place.pack} of submission ${place.submission}: the job ${job.id} has none`,
    );
  const share: PieceShare = {
    cores: submission.resources.cores,
    bytes: countWorkBytes(submission.resources),
  };
  const handler = await open(job.plan);
  let numFailures = 0;
  try {
    for (const index of pieces) {
      const piece = job.plan.pieces[index];
      if (piece === undefined) throw new UsageError(`The job ${job.id} has no piece ${index}`);
      if (await job.hasResult(index)) {
        log(`${node}: ${piece.name} has its result`);
        continue;
      }
      const startMs = performance.now();
      log(`${node}: ${piece.name} begins`);
      try {
        await job.keepResult(index, await handler.carryOut({ ...piece, index }, share));
        log(`${node}: ${piece.name} done in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
      } catch (error) {
        numFailures += 1;
        const message = describeError(error);
        log(`${node}: ${piece.name} failed: ${error instanceof Error ? (error.stack ?? message) : message}`);
        // A tensor stays as it is; what a server or a disk lacks may be there the next time.
        const isFinal = error instanceof Error && error.name === "CheckpointError";
        // On a full disk there is no room for the reason either; the log may have it.
        await job.keepFailure(index, { message, isFinal, node }).catch(() => undefined);
      }
    }
  } finally {
    await handler.close();
  }
  return numFailures;
}
