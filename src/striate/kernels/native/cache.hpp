// The size of the cache that blocks of work are cut to.
#pragma once

#include <cstddef>

#if defined(__linux__)
#include <unistd.h>
#endif

namespace striate {

// Bytes of one core's L2 cache, or a size that most processors have where the system does not tell.
inline size_t l2_bytes() {
#if defined(__linux__) && defined(_SC_LEVEL2_CACHE_SIZE)
  static const long told = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (told >= 128 * 1024) return static_cast<size_t>(told);
#endif
  return size_t{512} * 1024;
}

}  // namespace striate
