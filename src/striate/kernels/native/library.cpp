// What Python asks the library itself before it asks it for work.
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "parallel.hpp"
#include "vec.hpp"

namespace {

char bus_error_text[2048];

void end_on_bus_error(int) {
  if (write(2, bus_error_text, strlen(bus_error_text)) < 0) _exit(2);
  _exit(2);
}

}  // namespace

extern "C" {

// Raised when an entry point changes its arguments; Python refuses a library of another number.
int striate_abi() { return 2; }

int striate_lanes() { return striate::LANES; }

// 2: this processor (and its system) runs AVX-512 code, 1: AVX2 code, 0: only the generic code.
int striate_cpu_level() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return wide ? 2 : 1;
#else
  return 0;
#endif
}

// From now on the process says a text and ends with code 2 when it reads a page of a mapped file
// that is there no more. Python's own handlers cannot: they run after the read, which never ends.
int striate_on_bus_error(const char* text) {
  if (!text || strlen(text) >= sizeof bus_error_text) return 1;
  struct sigaction now {};
  sigaction(SIGBUS, nullptr, &now);
  if (now.sa_handler != SIG_DFL && now.sa_handler != end_on_bus_error) return 0;
  strcpy(bus_error_text, text);
  now.sa_handler = end_on_bus_error;
  now.sa_flags = 0;
  return sigaction(SIGBUS, &now, nullptr);
}

// y[i] = factor * x[i]: the smallest kernel, by which tests see that library and threads work.
int striate_library_scale(const float* x, float* y, int64_t size, float factor, int threads) {
  using namespace striate;
  if (size < 0 || threads < 1 || (size > 0 && (!x || !y))) return 1;
  parallel(threads, [&](int part) {
    const Range range = piece(size, threads, part);
    for (int64_t i = range.begin; i < range.end; i += LANES) {
      const int n = static_cast<int>(range.end - i < LANES ? range.end - i : LANES);
      store_n(y + i, load_n(x + i, n) * factor, n);
    }
  });
  return 0;
}

}  // extern "C"
