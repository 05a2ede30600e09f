/* Names that the translated Fortran and the kernels share: types of f2c, BLAS, and work split among threads. */
#ifndef LAPACK_H
#define LAPACK_H

typedef int integer;
typedef int logical;
typedef int ftnlen;
typedef double doublereal;
typedef float real;

/* Exported to JavaScript. */
#define EXPORT(name) __attribute__((export_name(name)))

#define smaller(a, b) ((a) < (b) ? (a) : (b))
#define larger(a, b) ((a) > (b) ? (a) : (b))

/* Threads at most, and the memory each has for packed blocks (doubles). */
enum { mostThreads = 16, packedLeft = 128 * 256, packedRight = 2 * 1024 * 256 };

/* One part of a piece of work; `thread` says whose memory it may use. */
typedef void (*Part)(const void *work, integer part, integer thread);

/* Carries out parts 0 … count − 1, each once, on all threads; returns when all are done. */
void share(Part part, const void *work, integer count);

/* Threads that take parts. */
integer countThreads(void);

/* Memory for packed blocks of that thread. */
double *packedBlocks(integer thread);

/* C += alpha · A · B, with A(i, p) at a[i · aRow + p · aDepth] and B(p, j) at b[p · bDepth + j · bColumn]. */
typedef struct {
  integer rows, columns, depth;
  double alpha;
  const double *a;
  integer aRow, aDepth;
  const double *b;
  integer bDepth, bColumn;
  double *c;
  integer stride;
  /* Which elements of C are wanted: all, those on and below its diagonal, those on and above. */
  enum { whole, lower, upper } part;
  /* Where that diagonal lies in a block of C: row − column of its first element. */
  integer offset;
} Product;

/* Adds the product, on all threads where it is worth it. */
void addProduct(const Product *product);

/* Memory, to be given back by free(); stops the program where there is none. */
void *allocate(unsigned long size);
void free(void *memory);

logical isLetter(const char *given, char letter);

#endif
