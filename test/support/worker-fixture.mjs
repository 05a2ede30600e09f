/** A worker thread for the tests of pools. Built before the tests run (`build-programs.ts`). */
import { spawnSync } from "node:child_process";
import { workerData } from "node:worker_threads";
import { UsageError } from "../../src/base/core/index.ts";
import { serveTasks } from "../../src/base/threads/index.ts";

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

serveTasks(async (task, share) => {
  switch (task.kind) {
    case "echo":
      for (let turn = 0; turn < task.numTurns; turn++) await nextTurn();
      return { value: task.value, numThreads: share.numThreads };
    case "refuse":
      throw new UsageError(task.message, { exitCode: task.exitCode });
    case "fail":
      throw new RangeError(task.message);
    case "throwText":
      throw task.message;
    case "data":
      return { value: workerData, numThreads: share.numThreads };
    case "meet":
      return await meet(new Int32Array(task.buffer), task.numExpected);
    case "die":
      return process.exit(3);
    case "answerThenDie":
      setImmediate(() => process.exit(3));
      return { value: 0, numThreads: share.numThreads };
    case "answerFunction":
      return () => undefined;
    case "spin":
      for (;;);
    case "block":
      return blockUntilHangUp(task.socketPath);
  }
});

/** Waits until as many threads are here. */
async function meet(counter, numExpected) {
  Atomics.add(counter, 0, 1);
  Atomics.notify(counter, 0);
  for (;;) {
    const present = Atomics.load(counter, 0);
    if (present >= numExpected) return { value: present, numThreads: 0 };
    Atomics.wait(counter, 0, present);
  }
}

/** Stays in native code, where no `terminate` reaches it, until the other side of the socket hangs up. */
function blockUntilHangUp(socketPath) {
  const code = `require("node:net").connect(${JSON.stringify(socketPath)}).resume().on("error", () => {})`;
  spawnSync(process.execPath, ["-e", code]);
  return { value: 0, numThreads: 0 };
}
