/*
 * The tape, and the threads that carry it out together. A tape is stages one after another, a stage instructions that do
 * not depend on each other, an instruction chunks of work. A thread takes a chunk by counting up the claim; whoever
 * finishes a stage's last chunk opens the next stage. So no thread waits for one that has no work, and a thread that the
 * machine has put aside holds up the others only if it has a chunk. A chunk is the same whoever does it: results do not
 * depend on the threads. Those without work look for some for a moment, then sleep.
 */
#include <stdatomic.h>

#include "kernels.h"

/* Looks at shared memory before going to sleep: some 20 µs. */
enum { patience = 20000 };

/* Words of a stage before its instructions, and of an instruction before its arguments. */
enum { stageWords = 2, headWords = 3 };

/* By number, as in src/engine/tensor/kernel/plan/instruction.ts. */
static const Kernel kernels[] = {
    mapElements,  sumElements,     multiplyByRows, multiplyByColumns, softmaxRows, logSoftmaxRows, normalizeRows,
    standardizeRows, markRows,     rotateRows,     gatherRows,        takeFromRows, fillOneHot,    widenElements,
};

/*
 * The number of the stage in the upper half; then how many chunks it has, and the next to take, 16 bits each. Without
 * chunks the run is over. All that others may go by is in this one word: it is written last.
 */
static _Atomic unsigned long long claim;
/* The present stage: [instructions, chunks], then instructions: [kernel, words, chunks, arguments …]. */
static const integer *stage;
static _Atomic integer done, sleepers, isOutside, isBroken;
static char *scratch;
static unsigned long scratchBytes;

/* Scratch memory for all threads, `bytes` each. */
EXPORT("useScratch") void useScratch(char *place, unsigned long bytes) { scratch = place, scratchBytes = bytes; }

void reportOutside(void) { atomic_store(&isOutside, 1); }

static void runChunk(integer chunk, integer thread) {
  const integer *at = stage + stageWords;
  while (chunk >= at[2]) chunk -= at[2], at += at[1];
  kernels[at[0]](at + headWords, chunk, (float *)(scratch + thread * scratchBytes));
}

static const integer *nextStage(const integer *present) {
  const integer *at = present + stageWords;
  for (integer left = present[0]; left > 0; left--) at += at[1];
  return at;
}

/* Opens the stage at `next`, after those of a single chunk, which are done on the spot. */
static void openStage(const integer *next, integer thread) {
  for (stage = next; stage[0] > 0 && stage[1] == 1; stage = nextStage(stage)) runChunk(0, thread);
  atomic_store(&done, 0);
  unsigned long long number = (atomic_load(&claim) >> 32) + 1;
  atomic_store(&claim, number << 32 | (unsigned long long)stage[1] << 16);
  if (atomic_load(&sleepers) > 0) __builtin_wasm_memory_atomic_notify((int *)&claim + 1, 0x7fffffff);
}

static void awaitStage(unsigned number) {
  for (integer look = 0; look < patience; look++)
    if (atomic_load(&claim) >> 32 != number) return;
  atomic_fetch_add(&sleepers, 1);
  __builtin_wasm_memory_atomic_wait32((int *)&claim + 1, (int)number, -1);
  atomic_fetch_sub(&sleepers, 1);
}

/* Takes a chunk and carries it out, or waits for another stage. */
static void takeChunk(unsigned long long seen, integer thread) {
  integer count = seen >> 16 & 0xffff, next = seen & 0xffff;
  if (next >= count) {
    awaitStage(seen >> 32);
    return;
  }
  // Where the claim has not moved since, the stage is open until this chunk is done.
  if (!atomic_compare_exchange_weak(&claim, &seen, seen + 1)) return;
  runChunk(next, thread);
  if (atomic_fetch_add(&done, 1) + 1 == count) openStage(nextStage(stage), thread);
}

/* What a run says: all is well, an id was outside its table, a thread has failed and nothing can run any more. */
enum { well, outside, broken };

static integer judgeRun(void) { return atomic_load(&isBroken) ? broken : atomic_exchange(&isOutside, 0) ? outside : well; }

/* Runs a tape on all threads, this one among them. */
EXPORT("run") integer run(const integer *tape) {
  if (!atomic_load(&isBroken)) openStage(tape, 0);
  for (unsigned long long seen = atomic_load(&claim); (seen >> 16 & 0xffff) > 0; seen = atomic_load(&claim)) {
    if (atomic_load(&isBroken)) break;
    takeChunk(seen, 0);
  }
  return judgeRun();
}

/* Called where a thread has failed within a chunk: nobody waits for it. */
EXPORT("giveUp") void giveUp(void) {
  atomic_store(&isBroken, 1);
  atomic_fetch_add(&claim, 1ull << 32);
  __builtin_wasm_memory_atomic_notify((int *)&claim + 1, 0x7fffffff);
}

/* What each further thread does from its start, for ever. */
EXPORT("serve") void serve(integer thread) {
  for (;;) takeChunk(atomic_load(&claim), thread);
}
