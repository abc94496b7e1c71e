// Makes the file system fail, for tests: loaded before the C library (LD_PRELOAD), it counts the
// calls on files below a folder and refuses the nth one, as a failing or full disk would.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { READS, WRITES };                              // what a call does
enum { ONCE, FROM_THERE_ON, TORN, KILL, TORN_KILL }; // how it fails
enum { PASS, REFUSE, HALF };

struct seen {
  long calls[2];   // on files below the folder: those that read, those that write
  long refused;
  char first[600]; // name and path of the first call that was refused
};

static char folder[512];
static int chosen, error, mode;
static long nth;
static struct seen *seen; // shared with the parent process, which reads it after a kill

struct seen *inject_seen(void) {
  const int shared = MAP_SHARED | MAP_ANONYMOUS;
  if (!seen) seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, shared, -1, 0);
  return seen;
}

void inject(const char *below, int kind, long number, int error_number, int how) {
  memset(inject_seen(), 0, sizeof *seen);
  chosen = kind, nth = number, error = error_number, mode = how;
  snprintf(folder, sizeof folder, "%s", below);
}

static void absolute(int fd, const char *path, char *full) {
  char link[64];
  full[0] = 0;
  if (!path || path[0] != '/') {
    if (fd == AT_FDCWD) {
      if (!getcwd(full, 256)) full[0] = 0;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
      const ssize_t size = readlink(link, full, 500);
      full[size < 0 ? 0 : size] = 0;
    }
    if (!path) return;
    strcat(full, "/");
  }
  strncat(full, path, 500);
}

static int verdict(int kind, const char *name, int fd, const char *path) {
  char full[1100];
  const int before = errno;
  if (!folder[0]) return PASS;
  absolute(fd, path, full);
  errno = before;
  if (strncmp(full, folder, strlen(folder))) return PASS;
  const long number = __sync_add_and_fetch(&seen->calls[kind], 1);
  if (kind != chosen || number < nth || (number > nth && mode != FROM_THERE_ON)) return PASS;
  if (!seen->refused++) snprintf(seen->first, sizeof seen->first, "%s %.500s", name, full);
  if (mode == KILL) kill(getpid(), SIGKILL);
  return mode == TORN || mode == TORN_KILL ? HALF : REFUSE;
}

static int refused(int kind, const char *name, int fd, const char *path) {
  if (verdict(kind, name, fd, path) == PASS) return 0;
  if (mode == TORN_KILL) kill(getpid(), SIGKILL);
  errno = error;
  return 1;
}

#define REAL(name)                                  \
  static __typeof__(&name) real;                    \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define CALL(type, name, kind, fd, path, parameters, ...)      \
  type name parameters {                                       \
    REAL(name);                                                \
    if (refused(kind, #name, fd, path)) return -1;             \
    return real(__VA_ARGS__);                                  \
  }

#define OPEN(name, fd, parameters, ...)                                             \
  int name parameters {                                                             \
    REAL(name);                                                                     \
    va_list rest;                                                                   \
    va_start(rest, flags);                                                          \
    const int rights = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;       \
    va_end(rest);                                                                   \
    const int kind = flags & (O_CREAT | O_WRONLY | O_RDWR) ? WRITES : READS;        \
    if (refused(kind, "open", fd, path)) return -1;                                 \
    return real(__VA_ARGS__, flags, rights);                                        \
  }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), path)
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), path)
OPEN(openat, fd, (int fd, const char *path, int flags, ...), fd, path)
OPEN(openat64, fd, (int fd, const char *path, int flags, ...), fd, path)

ssize_t write(int fd, const void *bytes, size_t size) {
  REAL(write);
  const int what = fd > 2 ? verdict(WRITES, "write", fd, NULL) : PASS;
  if (what == PASS) return real(fd, bytes, size);
  if (what == HALF && real(fd, bytes, size / 2) >= 0 && mode == TORN_KILL) kill(getpid(), SIGKILL);
  errno = error;
  return -1;
}

CALL(ssize_t, pwrite64, WRITES, fd, NULL, (int fd, const void *b, size_t n, off64_t o), fd, b, n, o)
CALL(int, fsync, WRITES, fd, NULL, (int fd), fd)
CALL(int, fdatasync, WRITES, fd, NULL, (int fd), fd)
CALL(int, ftruncate64, WRITES, fd, NULL, (int fd, off64_t size), fd, size)
CALL(int, rename, WRITES, AT_FDCWD, b, (const char *a, const char *b), a, b)
CALL(int, unlink, WRITES, AT_FDCWD, path, (const char *path), path)
CALL(int, unlinkat, WRITES, fd, path, (int fd, const char *path, int flags), fd, path, flags)
CALL(int, mkdir, WRITES, AT_FDCWD, path, (const char *path, mode_t rights), path, rights)
CALL(int, rmdir, WRITES, AT_FDCWD, path, (const char *path), path)
CALL(int, flock, WRITES, fd, NULL, (int fd, int operation), fd, operation)
CALL(ssize_t, sendfile64, WRITES, out, NULL, (int out, int in, off64_t *o, size_t n), out, in, o, n)
CALL(ssize_t, read, READS, fd, NULL, (int fd, void *bytes, size_t size), fd, bytes, size)
CALL(ssize_t, pread64, READS, fd, NULL, (int fd, void *b, size_t n, off64_t o), fd, b, n, o)
