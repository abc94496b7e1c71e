// Reads and writes of whole and of partial vectors, and writes past the caches.
#pragma once

#include <cstdint>
#include <type_traits>

#include "vec.hpp"

namespace striate {

// `lanes` is an integral constant where the vector is whole, a number of lanes where it is not.
template <typename N>
STRIATE_INLINE vec load_some(const float* p, N lanes) {
  if constexpr (std::is_same_v<N, int>) return load_n(p, lanes);
  else return load(p);
}

template <typename N>
STRIATE_INLINE void store_some(float* p, vec v, N lanes) {
  if constexpr (std::is_same_v<N, int>) store_n(p, v, lanes);
  else store(p, v);
}

// Writes a vector that will not be read soon past the caches, where it is aligned.
STRIATE_INLINE void stream(float* p, vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#else
  store(p, v);
#endif
}

// Whether an output of so many values should go past the caches: they would not keep it until it
// is read.
inline bool goes_far(const float* y, int64_t size) {
  const bool aligned = reinterpret_cast<uintptr_t>(y) % (LANES * sizeof(float)) == 0;
  return aligned && size >= (int64_t{1} << 22);
}

// What was written past the caches is seen by all after this.
STRIATE_INLINE void drain() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

template <typename N>
STRIATE_INLINE void store_far(float* p, vec v, N lanes, bool far) {
  if constexpr (std::is_same_v<N, int>) store_n(p, v, lanes);
  else if (far) stream(p, v);
  else store(p, v);
}

}  // namespace striate
