/* A file system without hard links, as exFAT, SMB and many a FUSE: preloaded, it makes link() fail with the error NO_LINKS names. */
#include <errno.h>
#include <stdlib.h>

static int refuse(void) {
  const char *code = getenv("NO_LINKS");
  errno = code == NULL ? EPERM : atoi(code);
  return -1;
}

int link(const char *from, const char *to) {
  (void)from, (void)to;
  return refuse();
}

int linkat(int fromFolder, const char *from, int toFolder, const char *to, int flags) {
  (void)fromFolder, (void)from, (void)toFolder, (void)to, (void)flags;
  return refuse();
}
