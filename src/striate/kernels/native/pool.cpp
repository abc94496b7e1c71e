// Max pooling of (B, H, W, C) images. The place of each maximum is kept as one byte, its number in
// the window; the gradient is gathered by each input pixel, so that threads never meet.
#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.hpp"
#include "scratch.hpp"
#include "stream.hpp"

namespace striate {
namespace {

constexpr int64_t LINE = 16;  // floats in a cache line

typedef uint8_t bytes __attribute__((vector_size(LANES)));

// The intrinsics, since compilers take the plain conversion of bytes apart, lane by lane.
STRIATE_INLINE ivec widen(bytes b) {
#if defined(__AVX512F__)
  return (ivec)_mm512_maskz_cvtepu8_epi32((__mmask16)-1, (__m128i)b);
#elif defined(__AVX2__)
  return (ivec)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)b));
#else
  return __builtin_convertvector(b, ivec);
#endif
}

STRIATE_INLINE bytes narrow(ivec v) {
#if defined(__AVX512F__)
  return (bytes)_mm512_maskz_cvtepi32_epi8((__mmask16)-1, (__m512i)v);
#elif defined(__AVX2__)
  const __m256i low = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                       0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const __m256i four = _mm256_shuffle_epi8((__m256i)v, low);  // of each half the first bytes
  const __m128i both =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
  return (bytes)_mm_cvtsi128_si64(both);
#else
  return __builtin_convertvector(v, bytes);
#endif
}

STRIATE_INLINE ivec load_bytes(const uint8_t* p) {
  bytes b;
  std::memcpy(&b, p, sizeof b);
  return widen(b);
}

STRIATE_INLINE ivec load_bytes_n(const uint8_t* p, int n) {
#if defined(__AVX512F__)
  return widen((bytes)_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p));
#else
  bytes b{};
  std::memcpy(&b, p, n);
  return widen(b);
#endif
}

STRIATE_INLINE void store_bytes(uint8_t* p, ivec v) {
  const bytes b = narrow(v);
  std::memcpy(p, &b, sizeof b);
}

STRIATE_INLINE void store_bytes_n(uint8_t* p, ivec v, int n) {
#if defined(__AVX512F__)
  _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), (__m128i)narrow(v));
#else
  const bytes b = narrow(v);
  std::memcpy(p, &b, n);
#endif
}

struct Pool {
  int64_t B, H, W, C, out_h, out_w;
  int64_t window_h, window_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;

  // No pixel lies in two windows, and none begins in the padding.
  bool apart() const {
    return pad_h == 0 && pad_w == 0 && dilation_h == 1 && dilation_w == 1 &&
           stride_h >= window_h && stride_w >= window_w;
  }

  bool impossible() const {
    const int64_t big = int64_t{1} << 31;
    for (int64_t size : {B, H, W, C, out_h, out_w})
      if (size < 1 || size >= big) return true;
    for (int64_t size : {window_h, window_w, stride_h, stride_w, dilation_h, dilation_w})
      if (size < 1 || size >= big) return true;
    if (window_h > 256 || window_w > 256 || window_h * window_w > 256) return true;
    if (pad_h < 0 || pad_w < 0 || 2 * pad_h > window_h || 2 * pad_w > window_w) return true;
    // Every window must begin inside the image or its padding before.
    return (out_h - 1) * stride_h >= H + pad_h || (out_w - 1) * stride_w >= W + pad_w;
  }
};

// The elements k of a window from `start` (its first place, in the padding perhaps) that lie
// within 0 .. size - 1: [first, last).
struct Inside {
  int64_t first, last;
  Inside(int64_t start, int64_t window, int64_t dilation, int64_t size) {
    first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    last = start < size ? std::min(window, (size - 1 - start) / dilation + 1) : 0;
    first = std::min(first, last);
  }
};

struct Tap {
  int64_t offset;
  int number;
};

// The maximum over `taps` for some channels, and the number of the first tap that holds it; a
// value that is not a number wins, the last of them.
template <int COUNT, bool WHOLE>
STRIATE_INLINE void window_max(const float* x, const Tap* taps, int count, float* y,
                               uint8_t* index, int lanes) {
  const int number = COUNT ? COUNT : count;
  vec most = splat(-std::numeric_limits<float>::infinity());
  ivec place = ivec{} + taps[0].number;
  for (int t = 0; t < number; ++t) {
    const float* p = x + taps[t].offset;
    const vec value = WHOLE ? load(p) : load_n(p, lanes);
    const ivec better = (value > most) | (value != value);
    most = select(better, value, most);
    place = (better & taps[t].number) | (~better & place);
  }
  if (WHOLE) {
    store(y, most);
    store_bytes(index, place);
  } else {
    store_n(y, most, lanes);
    store_bytes_n(index, place, lanes);
  }
}

template <int COUNT>
void pool_pixel(const float* x, const Tap* taps, int count, float* y, uint8_t* index, int64_t C) {
  int64_t c = 0;
  for (; c + LANES <= C; c += LANES)
    window_max<COUNT, true>(x + c, taps, count, y + c, index + c, LANES);
  if (c < C)
    window_max<COUNT, false>(x + c, taps, count, y + c, index + c, static_cast<int>(C - c));
}

// The pixels that the same window of the next row of windows will read first.
STRIATE_INLINE void ask_for_next(const Pool& p, const float* corner) {
  const float* row = corner + p.window_h * p.dilation_h * p.W * p.C;
  for (int64_t r = 0; r < p.stride_h; ++r, row += p.W * p.C)
    for (int64_t i = 0; i < p.stride_w * p.C; i += LINE) prefetch(row + i);
}

void pool_row(const Pool& p, const float* x, float* y, uint8_t* index, int64_t b, int64_t oh) {
  const int64_t top = oh * p.stride_h - p.pad_h;
  const Inside rows(top, p.window_h, p.dilation_h, p.H);
  Tap taps[256];  // from the window's corner, which may lie in the padding
  int count = 0;
  int64_t first = -1, last = -1;
  for (int64_t ow = 0; ow < p.out_w; ++ow) {
    const int64_t left = ow * p.stride_w - p.pad_w;
    const Inside columns(left, p.window_w, p.dilation_w, p.W);
    if (columns.first != first || columns.last != last) {
      first = columns.first, last = columns.last, count = 0;
      for (int64_t r = rows.first; r < rows.last; ++r)
        for (int64_t s = first; s < last; ++s)
          taps[count++] = {(r * p.dilation_h * p.W + s * p.dilation_w) * p.C,
                           static_cast<int>(r * p.window_w + s)};
    }
    const int64_t out = ((b * p.out_h + oh) * p.out_w + ow) * p.C;
    if (count == 0) {  // a dilated window may step over the whole image
      std::fill(y + out, y + out + p.C, -std::numeric_limits<float>::infinity());
      std::fill(index + out, index + out + p.C, uint8_t{0});
      continue;
    }
    // The corner of a window at the border is no address: the image's is taken, then its taps'.
    const int64_t corner = (b * p.H * p.W + top * p.W + left) * p.C;
    Tap moved[256];
    const Tap* from = taps;
    if (corner < 0) {
      for (int t = 0; t < count; ++t) moved[t] = {taps[t].offset + corner, taps[t].number};
      from = moved;
    }
    const float* image = corner < 0 ? x : x + corner;
    ask_for_next(p, x + corner);
    if (count == 4) pool_pixel<4>(image, from, count, y + out, index + out, p.C);
    else if (count == 9) pool_pixel<9>(image, from, count, y + out, index + out, p.C);
    else pool_pixel<0>(image, from, count, y + out, index + out, p.C);
  }
}

// The windows that hold a place of an axis: their output places with the element's number.
struct Cover {
  int count;
  Tap* found;
};

// For each place of an axis its windows, rising: a fixed order of addition. A window is `step`
// values from the one before it, and `count` elements lie in one step of the axis.
void fill_covers(int64_t size, int64_t pad, int64_t stride, int64_t window, int64_t dilation,
                 int64_t outputs, int64_t step, int64_t count, Cover* covers, Tap* taps) {
  for (int64_t at = 0; at < size; ++at) {
    covers[at] = {0, taps + at * window};
    for (int64_t k = window - 1; k >= 0; --k) {
      const int64_t start = at + pad - k * dilation;
      if (start < 0 || start % stride || start / stride >= outputs) continue;
      covers[at].found[covers[at].count++] = {start / stride * step, static_cast<int>(k * count)};
    }
  }
}

// Adds up, for one pixel, the gradients of the windows whose maximum it is. COUNT windows hold it
// (0: `count`); their places and numbers stay in registers over the channels.
template <int COUNT>
void gather_pixel(const float* grad, const uint8_t* index, const Tap* covers, int count, float* dx,
                  int64_t C, bool far) {
  Tap kept[COUNT ? COUNT : 1];
  for (int t = 0; t < COUNT; ++t) kept[t] = covers[t];
  const Tap* from = COUNT ? kept : covers;
  const int number = COUNT ? COUNT : count;
  const auto sum_at = [&](int64_t c, auto lanes) {
    constexpr bool whole = !std::is_same_v<decltype(lanes), int>;
    vec sum{};
#pragma GCC unroll 4
    for (int t = 0; t < number; ++t) {
      const uint8_t* place = index + from[t].offset + c;
      const ivec held = whole ? load_bytes(place) : load_bytes_n(place, lanes);
      const vec g = load_some(grad + from[t].offset + c, lanes);
      sum += select(held == from[t].number, g, vec{});
    }
    return sum;
  };
  int64_t c = 0;
  for (; c + LANES <= C; c += LANES) {
    const auto whole = std::integral_constant<int, LANES>{};
    store_far(dx + c, sum_at(c, whole), whole, far);
  }
  if (c < C) {
    const int lanes = static_cast<int>(C - c);
    store_n(dx + c, sum_at(c, lanes), lanes);
  }
}

// What the row of pixels below this one, the `w`-th, will read first, and where it will be written.
STRIATE_INLINE void ask_for_below(const Pool& p, const float* grad, const uint8_t* index, float* dx,
                                  int64_t w, bool far) {
  if (!far)
    for (int64_t c = 0; c < p.C; c += LINE) prefetch_write(dx + (w + p.W) * p.C + c);
  if (w % p.stride_w) return;
  const int64_t start = w / p.stride_w * p.C;
  for (int64_t c = 0; c < p.C; c += LINE) prefetch(grad + start + c);
  for (int64_t c = 0; c < p.C; c += 4 * LINE) prefetch(index + start + c);
}

// `rows` and `columns` count in values of an output image and of its rows.
void gather_row(const Pool& p, const float* grad, const uint8_t* index, float* dx,
                const Cover& rows, const Cover* columns, bool far) {
  Tap covers[256];
  const int64_t last = rows.count ? rows.found[rows.count - 1].offset : 0;
  const int64_t below = last + p.out_w * p.C;
  for (int64_t w = 0; w < p.W; ++w) {
    ask_for_below(p, grad + below, index + below, dx, w, far);
    int count = 0;
    for (int r = 0; r < rows.count; ++r)
      for (int s = 0; s < columns[w].count; ++s)
        covers[count++] = {rows.found[r].offset + columns[w].found[s].offset,
                           rows.found[r].number + columns[w].found[s].number};
    float* to = dx + w * p.C;
    if (count == 1) gather_pixel<1>(grad, index, covers, 1, to, p.C, far);
    else if (count == 2) gather_pixel<2>(grad, index, covers, 2, to, p.C, far);
    else if (count == 4) gather_pixel<4>(grad, index, covers, 4, to, p.C, far);
    else gather_pixel<0>(grad, index, covers, count, to, p.C, far);
  }
}

// Where a pixel has fewer channels than a vector has lanes, each gradient goes to its place by
// itself: output pixels in rising order, so that the sums are those of the gathering.
void scatter_image(const Pool& p, const float* grad, const uint8_t* index, float* dx) {
  std::fill(dx, dx + p.H * p.W * p.C, 0.0f);
  int64_t down[256], right[256];
  for (int64_t k = 0; k < 256; ++k) {  // a number that is no element's leads out of the image
    down[k] = k < p.window_h * p.window_w ? k / p.window_w * p.dilation_h : 2 * p.H + p.pad_h;
    right[k] = k % p.window_w * p.dilation_w;
  }
  for (int64_t oh = 0; oh < p.out_h; ++oh)
    for (int64_t ow = 0; ow < p.out_w; ++ow)
      for (int64_t c = 0; c < p.C; ++c) {
        const int64_t at = (oh * p.out_w + ow) * p.C + c;
        const int64_t h = oh * p.stride_h - p.pad_h + down[index[at]];
        const int64_t w = ow * p.stride_w - p.pad_w + right[index[at]];
        if (h >= 0 && h < p.H && w >= 0 && w < p.W) dx[(h * p.W + w) * p.C + c] += grad[at];
      }
}

// Where windows do not meet, a gradient has one window to go to: a row of output pixels writes the
// input rows below it, each pixel's gradient and place read once.
void spread_row(const Pool& p, const float* grad, const uint8_t* index, float* dx, int64_t oh) {
  const int64_t top = oh * p.stride_h;
  const int64_t below = oh + 1 == p.out_h ? p.H : std::min(p.H, top + p.stride_h);
  const bool covered = below - top == p.window_h && p.stride_w == p.window_w &&
                       p.out_w * p.stride_w == p.W;
  if (!covered) std::fill(dx + top * p.W * p.C, dx + below * p.W * p.C, 0.0f);
  const int64_t rows = std::min(p.window_h, p.H - top);
  for (int64_t ow = 0; ow < p.out_w; ++ow) {
    const int64_t left = ow * p.stride_w, columns = std::min(p.window_w, p.W - left);
    float* corner = dx + (top * p.W + left) * p.C;
    const int64_t at = (oh * p.out_w + ow) * p.C;
    for (int64_t c = 0; c < p.C; c += LANES) {
      const int lanes = static_cast<int>(std::min<int64_t>(LANES, p.C - c));
      const bool whole = lanes == LANES;
      const vec g = whole ? load(grad + at + c) : load_n(grad + at + c, lanes);
      const ivec place = whole ? load_bytes(index + at + c) : load_bytes_n(index + at + c, lanes);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t s = 0; s < columns; ++s) {
          float* to = corner + (r * p.W + s) * p.C + c;
          const vec mine = select(place == static_cast<int>(r * p.window_w + s), g, vec{});
          if (whole) store(to, mine);
          else store_n(to, mine, lanes);
        }
    }
  }
}

int parts_of(int64_t values, int64_t rows) {
  return static_cast<int>(std::clamp<int64_t>(values / 32768, 1, std::min<int64_t>(rows, 64)));
}

}  // namespace
}  // namespace striate

using namespace striate;

// sizes: B, H, W, C, then rows and columns of output, window, stride, padding, dilation.
extern "C" int striate_pool_max(const float* x, float* y, uint8_t* index, const int64_t* sizes,
                                int threads) {
  if (!x || !y || !index || !sizes || threads < 1) return 1;
  const Pool p{sizes[0], sizes[1], sizes[2],  sizes[3],  sizes[4],  sizes[5],  sizes[6],
               sizes[7], sizes[8], sizes[9],  sizes[10], sizes[11], sizes[12], sizes[13]};
  if (p.impossible()) return 1;
  const int64_t rows = p.B * p.out_h;
  const int parts = parts_of(rows * p.out_w * p.C, rows);
  parallel(parts, threads, [&](int part) {
    const Range range = piece(rows, parts, part);
    for (int64_t row = range.begin; row < range.end; ++row)
      pool_row(p, x, y, index, row / p.out_h, row % p.out_h);
  });
  return 0;
}

extern "C" int striate_pool_max_backward(const float* grad, const uint8_t* index, float* dx,
                                         const int64_t* sizes, int threads) {
  if (!grad || !index || !dx || !sizes || threads < 1) return 1;
  const Pool p{sizes[0], sizes[1], sizes[2],  sizes[3],  sizes[4],  sizes[5],  sizes[6],
               sizes[7], sizes[8], sizes[9],  sizes[10], sizes[11], sizes[12], sizes[13]};
  if (p.impossible()) return 1;
  if (p.C < LANES) {
    const int parts = parts_of(p.B * p.H * p.W * p.C, p.B);
    parallel(parts, threads, [&](int part) {
      const Range range = piece(p.B, parts, part);
      for (int64_t b = range.begin; b < range.end; ++b) {
        const int64_t out = b * p.out_h * p.out_w * p.C;
        scatter_image(p, grad + out, index + out, dx + b * p.H * p.W * p.C);
      }
    });
    return 0;
  }
  if (p.apart()) {
    const int64_t rows = p.B * p.out_h;
    const int parts = parts_of(p.B * p.H * p.W * p.C, rows);
    parallel(parts, threads, [&](int part) {
      const Range range = piece(rows, parts, part);
      for (int64_t row = range.begin; row < range.end; ++row) {
        const int64_t b = row / p.out_h, out = b * p.out_h * p.out_w * p.C;
        spread_row(p, grad + out, index + out, dx + b * p.H * p.W * p.C, row % p.out_h);
      }
    });
    return 0;
  }
  Scratch scratch;
  const size_t covers = scratch.add<Cover>(p.H + p.W);
  const size_t taps = scratch.add<Tap>(p.H * p.window_h + p.W * p.window_w);
  if (!scratch.allocate()) return 2;
  Cover *of_rows = scratch.at<Cover>(covers), *of_columns = of_rows + p.H;
  Tap* found = scratch.at<Tap>(taps);
  fill_covers(p.H, p.pad_h, p.stride_h, p.window_h, p.dilation_h, p.out_h, p.out_w * p.C,
              p.window_w, of_rows, found);
  fill_covers(p.W, p.pad_w, p.stride_w, p.window_w, p.dilation_w, p.out_w, p.C, 1, of_columns,
              found + p.H * p.window_h);
  const int64_t rows = p.B * p.H;
  const int parts = parts_of(rows * p.W * p.C, rows);
  const bool far = p.C % LANES == 0 && goes_far(dx, rows * p.W * p.C);
  parallel(parts, threads, [&](int part) {
    const Range range = piece(rows, parts, part);
    for (int64_t row = range.begin; row < range.end; ++row) {
      const int64_t image = row / p.H * p.out_h * p.out_w * p.C;
      gather_row(p, grad + image, index + image, dx + row * p.W * p.C, of_rows[row % p.H],
                 of_columns, far);
    }
    drain();
  });
  return 0;
}
