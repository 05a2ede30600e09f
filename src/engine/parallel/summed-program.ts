/** Programs whose outputs are sums over the rows of a batch, so that the parts of a batch are run apart and added up. */
import { compile, encodeProgram, type Outputs, requireOutput } from "../tensor/index.ts";
import type { Cores } from "./cores.ts";
import { type Feeds, type Results, requireAnswer } from "./engine-task.ts";
import { shareBytes, shareFloats } from "./shared-copy.ts";

/** A program, and the sums of its outputs. */
export interface SummedProgram {
  /**
   * The sum of each output over the parts, added up in their order: the same bits on any number of cores where the model is small. `shared`
   * is fed to every part. Outputs that are named in `into` are written there, and given as those.
   */
  run(parts: readonly Feeds[], shared: Results, into: Results): Promise<Results>;
  release(): Promise<void>;
}

/** From so many parameters on, all cores work on one part after the other: each core would need memory for the whole model. */
const manyParameters = 2 ** 24;

/** Whether a model of so many parameters has its batches read in parts by cores of their own. */
export function isSmall(numParameters: number): boolean {
  return numParameters < manyParameters;
}

/** Tokens of a part at most, but for what rounding up its rows adds: of a model of 135 million parameters, 1,024 take some 3 GB beside its vectors. */
const mostTokens = { small: 2048, large: 1024 };

/** Rows of each part of a batch but the last, which may have fewer: as few parts as tokens allow, of 2, 4, 8 …, so that cores have equally many. */
export function choosePartRows(
  { B, T }: { readonly B: number; readonly T: number },
  numParameters: number,
): number {
  const size = isSmall(numParameters) ? "small" : "large";
  let numParts = size === "small" ? 2 : 1;
  while (numParts < B && B * T > numParts * mostTokens[size]) numParts *= 2;
  return Math.ceil(B / numParts);
}

/** Creates the program of a model of so many parameters. */
export async function createSummedProgram(
  outputs: Outputs,
  { cores, numParameters }: { readonly cores: Cores; readonly numParameters: number },
): Promise<SummedProgram> {
  return isSmall(numParameters) ? createApart(outputs, cores) : await createInTurns(outputs, cores);
}

function createApart(outputs: Outputs, cores: Cores): SummedProgram {
  const encoded = encodeProgram(outputs);
  const program = { ...encoded, bytes: shareBytes(encoded.bytes) };
  const id = cores.takeId();
  return {
    run: async (parts, shared, into) => {
      // One copy for all, of which each thread makes its own.
      const handed =
        parts.length === 1
          ? shared
          : Object.fromEntries(Object.entries(shared).map(([name, values]) => [name, shareFloats(values)]));
      const answers = await cores.carryOut(
        parts.map((feeds) => ({ kind: "run", id, program, feeds: { ...handed, ...feeds } })),
      );
      return addUp(
        answers.map((answer) => requireAnswer(answer, "run").results),
        into,
      );
    },
    release: () => cores.releaseProgram(id),
  };
}

/** The first results, written to where they belong, and the others on top of them. */
function addUp([first = {}, ...others]: readonly Results[], into: Results): Results {
  const entries = Object.entries(first).map(([name, values]) => {
    into[name]?.set(values);
    return [name, into[name] ?? values.slice()] as const;
  });
  const sums = Object.fromEntries(entries);
  for (const other of others) addTo(sums, other);
  return sums;
}

function addTo(sums: Results, results: Results): void {
  for (const [name, values] of Object.entries(results)) {
    const sum = requireOutput(sums, name);
    for (let index = 0; index < values.length; index++) sum[index] = (sum[index] ?? 0) + (values[index] ?? 0);
  }
}

/** Of a large model: a step takes gigabytes. It would keep them twice: as its first run took them, and as the next ones do. */
async function createInTurns(outputs: Outputs, { count }: Cores): Promise<SummedProgram> {
  const program = await compile(outputs, { numThreads: count, waitsActively: true, keepsMemory: false });
  return {
    run: async ([first = {}, ...others], shared, into) => {
      const sums = { ...(await program.run({ ...shared, ...first }, into)), ...into };
      for (const feeds of others) addTo(sums, await program.run({ ...shared, ...feeds }));
      return sums;
    },
    release: () => program.release(),
  };
}
