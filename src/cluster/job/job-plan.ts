/** A job as data: pieces of work that do not need each other, each with what it takes. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { UsageError } from "../../base/core/index.ts";

const pieceSchema = z.object({
  name: z.string(),
  seconds: z.number().min(0),
  bytes: z.number().min(0),
  key: z.string().optional(),
});

/** What a job folder holds of its plan. */
export const jobPlanSchema = z.object({
  kind: z.string(),
  input: z.unknown(),
  pieces: z.array(pieceSchema).min(1),
});

/** A piece of work: a name among its job's, and what carrying it out takes. */
export interface Piece {
  readonly name: string;
  /** Estimated on one core. */
  readonly seconds: number;
  /** Memory beside what a process takes anyway. */
  readonly bytes: number;
  /** The same for the same result: with it, that of another job is taken over. By `computePieceKey`. */
  readonly key?: string | undefined;
}

/** The key of a piece from all that its result depends on, as JSON. */
export function computePieceKey(dependencies: unknown): string {
  return hash(dependencies).slice(0, 16);
}

/** What is to be done. Carried out twice, a piece gives the same result: it may be done by anyone, again or elsewhere. */
export interface JobPlan {
  /** Which handler carries out the pieces. */
  readonly kind: string;
  /** What all pieces need to know, as JSON: folders, settings, and stamps of the weights that it is about. */
  readonly input: unknown;
  readonly pieces: readonly Piece[];
}

/** The same for the same work: a command that is given again finds what was done for it. 12 hexadecimal digits. */
export function computeJobId({ kind, input, pieces }: JobPlan): string {
  return hash([kind, input, pieces.map(({ name }) => name)]).slice(0, 12);
}

const hash = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

/** The input of a job as its kind reads it. Throws `UsageError` for what another version of untwist wrote. */
export function parseJobInput<Input>(schema: z.ZodType<Input>, given: unknown): Input {
  const { data } = schema.safeParse(given);
  if (data !== undefined) return data;
  throw new UsageError(
    "Cannot carry out this job: what it asks is not written as in this version of untwist; use the version that made it",
  );
}
