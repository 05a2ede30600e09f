/*
 * Work split among threads that share this memory. A claim counts up the parts of a piece of work: whoever raises it
 * has that part. Threads without work look for some for a moment, then sleep.
 */
#include <stdatomic.h>
#include <stddef.h>

#include "lapack.h"


/* Looks at shared memory before going to sleep: some 20 µs. */
enum { patience = 20000 };

/* The part that a claim names while no piece is open. */
enum { closed = 0x7fffffff };

static struct {
  Part run;
  const void *work;
  integer count;
} piece;

/* The number of the piece in the upper half, its next part in the lower. */
static _Atomic unsigned long long claim;
static _Atomic int pieces, sleepers, done, isWaiting;
static _Atomic int numThreads = 1;
static double *packed[mostThreads];

integer countThreads(void) { return atomic_load(&numThreads); }

double *packedBlocks(integer thread) {
  if (packed[thread] == NULL) packed[thread] = allocate(sizeof(double) * (packedLeft + packedRight));
  return packed[thread];
}

/* Takes parts of the present piece until there are none. */
static void takeParts(integer thread) {
  unsigned long long seen = atomic_load(&claim);
  for (;;) {
    Part run = piece.run;
    const void *work = piece.work;
    integer count = piece.count, part = (integer)(seen & 0xffffffff);
    if (part >= count) return;
    // Where the claim has not moved since, what was read belongs to it: the piece is not done without this part.
    if (!atomic_compare_exchange_weak(&claim, &seen, seen + 1)) continue;
    run(work, part, thread);
    if (atomic_fetch_add(&done, 1) + 1 == count && atomic_load(&isWaiting))
      __builtin_wasm_memory_atomic_notify((int *)&done, 1);
    seen = atomic_load(&claim);
  }
}

void share(Part run, const void *work, integer count) {
  if (count == 1 || countThreads() == 1) {
    for (integer part = 0; part < count; part++) run(work, part, 0);
    return;
  }
  int number = atomic_load(&pieces) + 1;
  // Closed before the piece changes: a late claim on the one before must fail.
  atomic_store(&claim, ((unsigned long long)number << 32) | closed);
  piece.run = run, piece.work = work, piece.count = count;
  atomic_store(&done, 0);
  atomic_store(&claim, (unsigned long long)number << 32);
  atomic_store(&pieces, number);
  if (atomic_load(&sleepers) > 0) __builtin_wasm_memory_atomic_notify((int *)&pieces, mostThreads);
  takeParts(0);
  for (integer look = 0; look < patience && atomic_load(&done) < count; look++) continue;
  atomic_store(&isWaiting, 1);
  for (int so = atomic_load(&done); so < count; so = atomic_load(&done))
    __builtin_wasm_memory_atomic_wait32((int *)&done, so, -1);
  atomic_store(&isWaiting, 0);
}

/* How many threads take parts from now on, and memory for them; called by the one that calls LAPACK. */
EXPORT("useThreads") void useThreads(integer count) {
  for (integer thread = 0; thread < count; thread++) packedBlocks(thread);
  atomic_store(&numThreads, smaller(count, mostThreads));
}

/* What each further thread does from its start, for ever. */
EXPORT("serve") void serve(integer thread) {
  for (;;) {
    int seen = atomic_load(&pieces);
    if (thread < countThreads()) takeParts(thread);
    integer look = 0;
    while (look < patience && atomic_load(&pieces) == seen) look++;
    if (look < patience) continue;
    atomic_fetch_add(&sleepers, 1);
    __builtin_wasm_memory_atomic_wait32((int *)&pieces, seen, -1);
    atomic_fetch_sub(&sleepers, 1);
  }
}
