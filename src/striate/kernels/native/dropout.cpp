// Dropout by a counter-based generator: whether a value is kept follows from the seed and the
// value's place in memory alone, so the mask is never stored and threads never wait.
//
// Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011):
// Philox4x32-10.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "parallel.hpp"
#include "vec.hpp"

namespace striate {
namespace {

// Counters that are turned at once, the same for each instruction set: so is the mask.
constexpr int COUNTERS = 16;
// A counter gives four words, a word two numbers of 16 bits.
constexpr int BLOCK = COUNTERS * 8;

typedef uint64_t wide __attribute__((vector_size(LANES * 4)));
typedef uint32_t narrow __attribute__((vector_size(LANES * 2)));
typedef uint16_t halves __attribute__((vector_size(LANES * 2)));
constexpr int WIDE = LANES / 2;              // counters in one vector, each in 64 bits
constexpr int VECTORS = 2;                   // turned together: one hides the other's waiting
constexpr int TOGETHER = VECTORS * WIDE;

// The whole products of the lower 32 bits of each lane; what is above them does not matter.
STRIATE_INLINE wide multiply(wide a, uint32_t factor) {
#if defined(__AVX512F__)
  return (wide)_mm512_maskz_mul_epu32((__mmask8)-1, (__m512i)a, _mm512_set1_epi64(factor));
#elif defined(__AVX2__)
  return (wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(factor));
#elif defined(__SSE2__)
  return (wide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(factor));
#else
  return (a & 0xFFFFFFFFu) * uint64_t{factor};
#endif
}

// The words of some counters; only the lower 32 bits of each lane count.
struct Words {
  wide w[4][VECTORS];
};

STRIATE_INLINE void philox(Words& words, uint32_t key0, uint32_t key1) {
  auto& w = words.w;
  for (int round = 0; round < 10; ++round) {
    for (int v = 0; v < VECTORS; ++v) {
      const wide first = multiply(w[0][v], 0xD2511F53u), second = multiply(w[2][v], 0xCD9E8D57u);
      w[0][v] = (second >> 32) ^ w[1][v] ^ uint64_t{key0};
      w[2][v] = (first >> 32) ^ w[3][v] ^ uint64_t{key1};
      w[1][v] = second;
      w[3][v] = first;
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

// The first words of all counters, then the second, each COUNTERS apart.
STRIATE_INLINE void store_words(const Words& words, uint32_t* out) {
  for (int w = 0; w < 4; ++w)
    for (int v = 0; v < VECTORS; ++v) {
      const narrow low = __builtin_convertvector(words.w[w][v], narrow);
      std::memcpy(out + w * COUNTERS + v * WIDE, &low, sizeof low);
    }
}

// The 64 words of values 128 block .. 128 block + 127; a value's number is a half of a word, the
// lower first, as a little-endian machine has them in memory.
STRIATE_INLINE void block_words(uint64_t block, uint64_t seed, uint32_t* out) {
  wide lane{};
  for (int i = 0; i < WIDE; ++i) lane[i] = i;
  for (int start = 0; start < COUNTERS; start += TOGETHER) {
    Words words;
    for (int v = 0; v < VECTORS; ++v) {
      words.w[0][v] = lane + (block * COUNTERS + start + v * WIDE);
      words.w[1][v] = words.w[0][v] >> 32;
      words.w[2][v] = words.w[3][v] = wide{};
    }
    philox(words, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    store_words(words, out + start);
  }
}

STRIATE_INLINE void keep_block(const float* x, const uint16_t* number, int kept_levels, float scale,
                               float* y) {
  for (int i = 0; i < BLOCK; i += LANES) {
    halves h;
    std::memcpy(&h, number + i, sizeof h);
    const ivec kept = __builtin_convertvector(h, ivec) < kept_levels;
    store(y + i, select(kept, load(x + i) * scale, vec{}));
  }
}

}  // namespace
}  // namespace striate

using namespace striate;

extern "C" {

// y = x times `scale` where the value's number of 0 .. 65535 is below kept_levels, 0 elsewhere.
int striate_dropout_apply(const float* x, float* y, int64_t size, int64_t seed, int kept_levels,
                          float scale, int threads) {
  if (size < 0 || threads < 1 || kept_levels < 0 || kept_levels > 65536) return 1;
  if (size == 0) return 0;
  if (!x || !y) return 1;
  const int64_t blocks = (size + BLOCK - 1) / BLOCK;
  const int parts = static_cast<int>(std::clamp<int64_t>(size / 32768, 1, 64));
  parallel(parts, threads, [&](int part) {
    const Range range = piece(blocks, parts, part);
    alignas(64) uint32_t words[BLOCK / 2];
    uint16_t number[BLOCK];
    for (int64_t block = range.begin; block < range.end; ++block) {
      block_words(block, static_cast<uint64_t>(seed), words);
      std::memcpy(number, words, sizeof number);
      const int64_t start = block * BLOCK;
      if (start + BLOCK <= size)
        keep_block(x + start, number, kept_levels, scale, y + start);
      else
        for (int64_t i = start; i < size; ++i)
          y[i] = number[i - start] < kept_levels ? x[i] * scale : 0.0f;
    }
  });
  return 0;
}

// The generator itself, for its published answers: four words from four and a key of two.
int striate_dropout_philox(const uint32_t* counter, const uint32_t* key, uint32_t* out, int threads) {
  if (!counter || !key || !out || threads < 1) return 1;
  Words words;
  for (int w = 0; w < 4; ++w)
    for (int v = 0; v < VECTORS; ++v) words.w[w][v] = wide{} + uint64_t{counter[w]};
  philox(words, key[0], key[1]);
  uint32_t all[4 * COUNTERS];
  store_words(words, all);
  for (int w = 0; w < 4; ++w) {
    out[w] = all[w * COUNTERS];
    for (int i = 1; i < TOGETHER; ++i)
      if (all[w * COUNTERS + i] != out[w]) return 2;
  }
  return 0;
}

}  // extern "C"
