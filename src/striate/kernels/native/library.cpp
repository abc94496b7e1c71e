// What Python asks the library itself before it asks it for work.
#include <cstdint>

#include "parallel.hpp"
#include "vec.hpp"

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
