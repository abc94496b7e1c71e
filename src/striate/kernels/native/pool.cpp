// Max pooling of (B, H, W, C) images. The place of each maximum is kept as one byte, its number in
// the window; the gradient is gathered by each input pixel, so that threads never meet.
#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.hpp"
#include "vec.hpp"

namespace striate {
namespace {

typedef uint8_t bytes __attribute__((vector_size(LANES)));

STRIATE_INLINE ivec load_bytes(const uint8_t* p) {
  bytes b;
  std::memcpy(&b, p, sizeof b);
  return __builtin_convertvector(b, ivec);
}

STRIATE_INLINE void store_bytes(uint8_t* p, ivec v) {
  const bytes b = __builtin_convertvector(v, bytes);
  std::memcpy(p, &b, sizeof b);
}

struct Pool {
  int64_t B, H, W, C, out_h, out_w;
  int64_t window_h, window_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;

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

// The maximum over `taps` for LANES channels, and the number of the first tap that holds it; a
// value that is not a number wins, the last of them.
template <int COUNT>
STRIATE_INLINE void window_max(const float* x, const Tap* taps, int count, vec& most, ivec& place) {
  const int number = COUNT ? COUNT : count;
  most = splat(-std::numeric_limits<float>::infinity());
  place = ivec{} + taps[0].number;
  for (int t = 0; t < number; ++t) {
    const vec value = load(x + taps[t].offset);
    const ivec better = (value > most) | (value != value);
    most = select(better, value, most);
    place = (better & taps[t].number) | (~better & place);
  }
}

template <int COUNT>
void pool_pixel(const float* x, const Tap* taps, int count, float* y, uint8_t* index, int64_t C) {
  int64_t c = 0;
  vec most;
  ivec place;
  for (; c + LANES <= C; c += LANES) {
    window_max<COUNT>(x + c, taps, count, most, place);
    store(y + c, most);
    store_bytes(index + c, place);
  }
  for (; c < C; ++c) {
    float value = -std::numeric_limits<float>::infinity();
    int number = taps[0].number;
    for (int t = 0; t < count; ++t) {
      const float v = x[taps[t].offset + c];
      if (v > value || v != v) {
        value = v;
        number = taps[t].number;
      }
    }
    y[c] = value;
    index[c] = static_cast<uint8_t>(number);
  }
}

void pool_row(const Pool& p, const float* x, float* y, uint8_t* index, int64_t b, int64_t oh) {
  const int64_t top = oh * p.stride_h - p.pad_h;
  const Inside rows(top, p.window_h, p.dilation_h, p.H);
  Tap taps[256];
  for (int64_t ow = 0; ow < p.out_w; ++ow) {
    const int64_t left = ow * p.stride_w - p.pad_w;
    const Inside columns(left, p.window_w, p.dilation_w, p.W);
    int count = 0;
    for (int64_t r = rows.first; r < rows.last; ++r)
      for (int64_t s = columns.first; s < columns.last; ++s)
        taps[count++] = {((top + r * p.dilation_h) * p.W + left + s * p.dilation_w) * p.C,
                         static_cast<int>(r * p.window_w + s)};
    const int64_t out = ((b * p.out_h + oh) * p.out_w + ow) * p.C;
    const float* image = x + b * p.H * p.W * p.C;
    if (count == 4) pool_pixel<4>(image, taps, count, y + out, index + out, p.C);
    else if (count == 9) pool_pixel<9>(image, taps, count, y + out, index + out, p.C);
    else if (count > 0) pool_pixel<0>(image, taps, count, y + out, index + out, p.C);
    else {  // a dilated window may step over the whole image
      std::fill(y + out, y + out + p.C, -std::numeric_limits<float>::infinity());
      std::fill(index + out, index + out + p.C, uint8_t{0});
    }
  }
}

// The windows that hold place `at` of an axis: their output places with the element's number.
int covering(int64_t at, int64_t pad, int64_t stride, int64_t window, int64_t dilation,
             int64_t outputs, Tap* found) {
  int count = 0;
  for (int64_t k = window - 1; k >= 0; --k) {  // rising output places: a fixed order of addition
    const int64_t start = at + pad - k * dilation;
    if (start < 0 || start % stride || start / stride >= outputs) continue;
    found[count++] = {start / stride, static_cast<int>(k)};
  }
  return count;
}

void gather_pixel(const float* grad, const uint8_t* index, const Tap* covers, int count, float* dx,
                  int64_t C) {
  int64_t c = 0;
  if (count == 1) {
    const float* g = grad + covers[0].offset;
    const uint8_t* i = index + covers[0].offset;
    for (; c + LANES <= C; c += LANES)
      store(dx + c, select(load_bytes(i + c) == covers[0].number, load(g + c), vec{}));
  }
  for (; c + LANES <= C; c += LANES) {
    vec sum{};
    for (int t = 0; t < count; ++t) {
      const ivec mine = load_bytes(index + covers[t].offset + c) == covers[t].number;
      sum += select(mine, load(grad + covers[t].offset + c), vec{});
    }
    store(dx + c, sum);
  }
  for (; c < C; ++c) {
    float sum = 0;
    for (int t = 0; t < count; ++t)
      if (index[covers[t].offset + c] == covers[t].number) sum += grad[covers[t].offset + c];
    dx[c] = sum;
  }
}

void gather_row(const Pool& p, const float* grad, const uint8_t* index, float* dx, int64_t b,
                int64_t h) {
  Tap rows[256], columns[256], covers[256];
  const int num_rows = covering(h, p.pad_h, p.stride_h, p.window_h, p.dilation_h, p.out_h, rows);
  for (int64_t w = 0; w < p.W; ++w) {
    const int num_columns =
        covering(w, p.pad_w, p.stride_w, p.window_w, p.dilation_w, p.out_w, columns);
    int count = 0;
    for (int r = 0; r < num_rows; ++r)
      for (int s = 0; s < num_columns; ++s)
        covers[count++] = {
            ((b * p.out_h + rows[r].offset) * p.out_w + columns[s].offset) * p.C,
            static_cast<int>(rows[r].number * p.window_w + columns[s].number)};
    gather_pixel(grad, index, covers, count, dx + ((b * p.H + h) * p.W + w) * p.C, p.C);
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
  const int64_t rows = p.B * p.H;
  const int parts = parts_of(rows * p.W * p.C, rows);
  parallel(parts, threads, [&](int part) {
    const Range range = piece(rows, parts, part);
    for (int64_t row = range.begin; row < range.end; ++row)
      gather_row(p, grad, index, dx, row / p.H, row % p.H);
  });
  return 0;
}
