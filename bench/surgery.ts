/**
 * What edits cost: one of rank 256 from cached factors beside the two SVDs that it replaces (NumPy, float32, the usual
 * way), and a repair grid of 24 repairs beside evaluating 24 checkpoints, in turns.
 *
 * npm run bench surgery [3584x3584] [rounds=3] [no-repairs]
 */
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { createRandom } from "../src/base/core/index.ts";
import { createLayout, listParameters, loadModel, saveModel } from "../src/engine/model/index.ts";
import { createPolicyEngine } from "../src/engine/parallel/index.ts";
import { openFactorCache } from "../src/lab/cache/index.ts";
import { type EditedModels, editParameters, readTensors } from "../src/lab/edit/edit-model.ts";
import { writeEdited } from "../src/lab/edit/edit-tensor.ts";
import { findEnvironment, splits } from "../src/tasks/environment/index.ts";
import { evaluate } from "../src/tasks/evaluation/index.ts";
import {
  createDenseSource,
  createMatrix,
  type Factors,
  factorize,
  type LinearAlgebra,
  openLinearAlgebra,
} from "../src/weights/linalg/index.ts";
import { fingerprint, type StoredTensor } from "../src/weights/spectra/index.ts";
import { type Operation, planEdit } from "../src/weights/surgery/index.ts";
import { runChild, withTemporaryFolder } from "./child.ts";

const editRank = 256;
const numRepairs = 24;
const numThreads = Math.min(2, availableParallelism());

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

async function time(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** A random matrix in 32-bit floats. */
function drawTensor(rows: number, columns: number, seed: number): StoredTensor {
  const random = createRandom(seed, "surgery");
  const values = Float32Array.from({ length: rows * columns }, () => random.uniform() - 0.5);
  return { dtype: "F32", shape: [rows, columns], bytes: new Uint8Array(values.buffer) };
}

function factorizeTensor({ shape, bytes }: StoredTensor, algebra: LinearAlgebra): Factors {
  const [rows = 0, columns = 0] = shape;
  const view = bytes.subarray(0, bytes.length);
  const values = new Float64Array(new Float32Array(view.buffer, view.byteOffset, view.length / 4));
  return factorize(
    createDenseSource(createMatrix(rows, columns, values)),
    { numVectors: editRank, tolerance: 1e-7 },
    algebra,
  );
}

/** Seconds of the two SVDs of the usual way, in Debian's NumPy with as many threads. */
async function timeNumpy(rows: number, columns: number): Promise<number> {
  const script = `import numpy, time
a = numpy.random.default_rng(1).random((2, ${rows}, ${columns}), dtype=numpy.float32) - 0.5
start = time.perf_counter()
for matrix in a: numpy.linalg.svd(matrix, full_matrices=False)
print(time.perf_counter() - start)`;
  const env = { ...process.env, OPENBLAS_NUM_THREADS: String(numThreads) };
  const { stdout, code } = await runChild("/usr/bin/python3", ["-c", script], { env });
  return code === 0 ? Number(stdout) : Number.NaN;
}

async function benchEdit(rows: number, columns: number, rounds: number): Promise<void> {
  const algebra = await openLinearAlgebra(process.env.UNTWIST_LAPACK || undefined);
  algebra.useThreads(numThreads);
  await withTemporaryFolder(async (folder) => {
    const cache = openFactorCache(folder, { backend: algebra.name, onDamage: () => undefined });
    const request = { numVectors: editRank };
    const pair = { target: drawTensor(rows, columns, 1), source: drawTensor(rows, columns, 2) };
    const prints = { target: fingerprint(pair.target), source: fingerprint(pair.source) };
    for (const side of ["target", "source"] as const)
      await cache.writeFactors(prints[side], request, factorizeTensor(pair[side], algebra));
    const operation: Operation = {
      operation: "restore",
      what: "directions",
      top: editRank,
      tail: 0,
      strength: 1,
    };
    const edit = async (): Promise<void> => {
      const target = await cache.readFactors(prints.target, request);
      const source = await cache.readFactors(prints.source, request);
      if (target === undefined || source === undefined) throw new Error("Cannot read cached factors");
      const planned = planEdit(operation, { target, source }, { name: "m", rows, columns }, algebra);
      const refuse = (): never => {
        throw new Error("Cannot edit: values are not finite");
      };
      const options = { algebra, refuse };
      for (const _ of writeEdited(planned, pair, options));
    };
    const times: { readonly numpy: number; readonly untwist: number }[] = [];
    for (let round = 0; round < rounds; round++)
      times.push({ numpy: await timeNumpy(rows, columns), untwist: await time(edit) });
    const [numpy, untwist] = [median(times.map((one) => one.numpy)), median(times.map((one) => one.untwist))];
    console.log(`${rows} × ${columns}, directions of rank ${editRank}, medians of ${rounds} rounds in turns`);
    console.log(`  two SVDs, NumPy float32          ${numpy.toFixed(2)} s`);
    console.log(
      `  edit from factors on the disk    ${untwist.toFixed(3)} s   1/${(numpy / untwist).toFixed(0)}`,
    );
  });
}

/** The shipped model and one with every parameter moved a little, as checkpoints with all factors. */
async function createModels(folder: string, algebra: LinearAlgebra): Promise<EditedModels> {
  const base = await loadModel("models/general-points-base");
  const random = createRandom(1, "moved");
  const moved = { ...base, parameters: base.parameters.map((value) => value * (1 + 0.05 * random.normal())) };
  const [targetFolder, sourceFolder] = [join(folder, "target"), join(folder, "source")];
  await saveModel(targetFolder, moved);
  await saveModel(sourceFolder, base);
  const decompose = (parameters: Float32Array): ReadonlyMap<string, Factors> =>
    new Map(
      createLayout(base.config).entries.flatMap(({ name, shape, offset }) => {
        const [rows = 0, columns] = shape;
        if (columns === undefined) return [];
        const values = new Float64Array(parameters.subarray(offset, offset + rows * columns));
        const source = createDenseSource(createMatrix(rows, columns, values));
        return [[name, factorize(source, { numVectors: Math.min(rows, columns), tolerance: 1e-7 }, algebra)]];
      }),
    );
  return {
    target: { ...moved, folder: targetFolder, tensors: await readTensors(targetFolder) },
    source: { ...base, folder: sourceFolder, tensors: await readTensors(sourceFolder) },
    factors: { target: decompose(moved.parameters), source: decompose(base.parameters) },
  };
}

/** As many repairs as a default repair grid has for all matrices and more: what × ranks. */
const repairs: readonly Operation[] = (["directions", "vectors", "values", "left"] as const).flatMap((what) =>
  [0.1, 0.2, 0.4, 0.6, 0.8, "all" as const].map((top) => ({
    operation: "restore" as const,
    what,
    top,
    tail: 0,
    strength: 1,
  })),
);

async function benchRepairs(): Promise<void> {
  const algebra = await openLinearAlgebra(process.env.UNTWIST_LAPACK || undefined);
  algebra.useThreads(numThreads);
  await withTemporaryFolder(async (folder) => {
    const models = await createModels(folder, algebra);
    const { config, tokenizer } = models.target;
    const policies = createPolicyEngine(config, {
      numThreads,
      batchSize: 128,
      numBytes: 0,
    });
    const answer = async (parameters: Float32Array): Promise<unknown> =>
      evaluate({ config, tokenizer }, await policies.open(listParameters(config, parameters)), {
        environment: findEnvironment("general-points"),
        promptFormat: "compact",
        splits,
        numTasks: 400,
        seed: 1,
        numAttempts: 1,
        maxNewTokens: 29,
        batchSize: 128,
      });
    await answer(models.target.parameters);
    let [checkpoints, grid, editing] = [0, 0, 0];
    for (const operation of repairs.slice(0, numRepairs)) {
      checkpoints += await time(async () => answer((await loadModel(models.target.folder)).parameters));
      let parameters = models.target.parameters;
      const spent = await time(() => {
        parameters = editParameters(operation, models, algebra).parameters;
      });
      editing += spent;
      grid += spent + (await time(() => answer(parameters)));
    }
    console.log(
      `Repair grid of ${numRepairs} repairs on 400 + 400 tasks, in turns with evaluating as many checkpoints`,
    );
    console.log(`  checkpoints, loaded and evaluated   ${checkpoints.toFixed(1)} s`);
    console.log(
      `  repairs, edited and evaluated       ${grid.toFixed(1)} s   ratio ${(grid / checkpoints).toFixed(2)}`,
    );
    console.log(`  of which editing                    ${editing.toFixed(2)} s`);
    await policies.release();
  });
}

const shape = process.argv.find((argument) => /^\d+x\d+$/.test(argument)) ?? "3584x3584";
const rounds = Number(process.argv.find((argument) => argument.startsWith("rounds="))?.slice(7) ?? 3);
const [rows = 3584, columns = 3584] = shape.split("x").map(Number);
const load = loadavg().map((one) => one.toFixed(2));
console.log(`Machine   ${cpus()[0]?.model}, ${numThreads} threads, load average ${load.join(" ")}`);
await benchEdit(rows, columns, rounds);
if (!process.argv.includes("no-repairs")) await benchRepairs();
