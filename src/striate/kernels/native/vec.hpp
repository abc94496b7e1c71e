// One vector of floats for each instruction set, and the few operations that C++ operators on it
// do not give. The compiler's flags choose the width; the sources above this file never do.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace striate {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

// Vector registers: a micro-kernel holds its sums in them.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int REGISTERS = 32;
#else
constexpr int REGISTERS = 16;
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));
typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));

#define STRIATE_INLINE inline __attribute__((always_inline))

STRIATE_INLINE vec load(const float* p) {
  vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

STRIATE_INLINE void store(float* p, vec v) { std::memcpy(p, &v, sizeof v); }

// The intrinsics, since compilers make a load and a shuffle of the plain expression.
STRIATE_INLINE vec splat(float value) {
#if defined(__AVX512F__)
  return (vec)_mm512_set1_ps(value);
#elif defined(__AVX2__)
  return (vec)_mm256_set1_ps(value);
#elif defined(__SSE2__)
  return (vec)_mm_set1_ps(value);
#else
  return vec{} + value;
#endif
}

// The first n lanes from memory (0 <= n <= LANES), zero in the others; reads nothing past them.
STRIATE_INLINE vec load_n(const float* p, int n) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  float lanes[LANES] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
#endif
}

// Writes the first n lanes; touches nothing past them.
STRIATE_INLINE void store_n(float* p, vec v, int n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  float lanes[LANES];
  store(lanes, v);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
#endif
}

// `yes` where the mask's lane is all ones, `no` where it is all zeros; a comparison gives such masks.
STRIATE_INLINE vec select(ivec mask, vec yes, vec no) {
  return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

// Lane by lane; where either is not a number the second comes out, as the machine has it.
STRIATE_INLINE vec max(vec a, vec b) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_max_ps((__mmask16)-1, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (vec)_mm_max_ps((__m128)a, (__m128)b);
#else
  return select(a > b, a, b);
#endif
}

STRIATE_INLINE vec min(vec a, vec b) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_min_ps((__mmask16)-1, (__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vec)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (vec)_mm_min_ps((__m128)a, (__m128)b);
#else
  return select(a < b, a, b);
#endif
}

STRIATE_INLINE vec sqrt(vec a) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)a);
#elif defined(__AVX2__)
  return (vec)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__)
  return (vec)_mm_sqrt_ps((__m128)a);
#elif defined(__aarch64__)
  return (vec)vsqrtq_f32((float32x4_t)a);
#else
  vec root;
  for (int i = 0; i < LANES; ++i) root[i] = std::sqrt(a[i]);
  return root;
#endif
}

STRIATE_INLINE vec abs(vec a) { return (vec)((ivec)a & (INT32_MAX - ivec{})); }

// The lanes' sum in one fixed order: halves upon halves.
STRIATE_INLINE float sum(vec a) {
  float lanes[LANES];
  store(lanes, a);
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// e to the x, relative error below 2e-7 for -87 <= x <= 88 and clamped to these outside; a lane that
// is not a number stays one. The Cephes polynomial on [-ln2/2, ln2/2] times a power of two.
STRIATE_INLINE vec exp(vec x) {
  const vec clamped = min(max(x, splat(-87.0f)), splat(88.0f));
  const vec shifted = clamped * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: rounds
  const vec whole = shifted - 12582912.0f;
  vec rest = clamped - whole * 0.693359375f;
  rest = rest + whole * 2.12194440e-4f;
  vec p = splat(1.9875691500e-4f);
  p = p * rest + 1.3981999507e-3f;
  p = p * rest + 8.3334519073e-3f;
  p = p * rest + 4.1665795894e-2f;
  p = p * rest + 1.6666665459e-1f;
  p = p * rest + 5.0000001201e-1f;
  p = p * (rest * rest) + rest + 1.0f;
  const ivec power = ((ivec)shifted - 0x4B400000 + 127) << 23;
  return select(x == x, p * (vec)power, x);
}

// Asks for the cache line of an address that will be read soon; never faults.
STRIATE_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

// The same for a line that will be read at once, or written.
STRIATE_INLINE void prefetch_near(const void* p) { __builtin_prefetch(p, 0, 3); }
STRIATE_INLINE void prefetch_write(const void* p) { __builtin_prefetch(p, 1, 3); }

}  // namespace striate
