// Convolution of each channel with a kernel of its own: vectors hold neighbouring channels of a
// pixel, and a few outputs in a row share what they load.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "epilogue.hpp"
#include "parallel.hpp"
#include "rounding.hpp"
#include "scratch.hpp"
#include "vec.hpp"

namespace striate {
namespace {

constexpr long MOST_TAPS = 64;
constexpr int OUTPUTS = 4;  // computed together

// The last three are the weight's strides in floats.
struct Depthwise {
  long images, height, width, channels, kernel_y, kernel_x, step_y, step_x, pad_y, pad_x;
  long dilation_y, dilation_x, by_channel, by_row, by_column;
  long out_height, out_width;

  // From an array of numbers in the order above, without the output's sizes; false where there is no
  // such convolution, or it has too many taps.
  bool read(const int64_t* numbers) {
    long* fields[] = {&images,     &height,     &width,      &channels, &kernel_y,
                      &kernel_x,   &step_y,     &step_x,     &pad_y,    &pad_x,
                      &dilation_y, &dilation_x, &by_channel, &by_row,   &by_column};
    for (long* field : fields) *field = *numbers++;
    if (std::min({images, height, width, pad_y, pad_x}) < 0) return false;
    if (std::min({channels, kernel_y, kernel_x}) < 1 || taps() > MOST_TAPS) return false;
    if (std::min({step_y, step_x, dilation_y, dilation_x}) < 1) return false;
    const long room_y = height + 2 * pad_y - dilation_y * (kernel_y - 1) - 1;
    const long room_x = width + 2 * pad_x - dilation_x * (kernel_x - 1) - 1;
    out_height = room_y / step_y + 1;
    out_width = room_x / step_x + 1;
    return room_y >= 0 && room_x >= 0;
  }
  long taps() const { return kernel_y * kernel_x; }
  long lanes() const { return round_up(channels, LANES); }
};

// A whole vector, or the first n lanes of one at the end of the channels.
template <bool WHOLE>
STRIATE_INLINE vec get(const float* p, int n) {
  return WHOLE ? load(p) : load_n(p, n);
}
template <bool WHOLE>
STRIATE_INLINE void put(float* p, vec v, int n) {
  WHOLE ? store(p, v) : store_n(p, v, n);
}

// Calls body(whole, c, n) for each vector of channels: `whole` is a type that says whether it is full.
template <typename F>
STRIATE_INLINE void each_vector(long channels, const F& body) {
  long c = 0;
  for (; c + LANES <= channels; c += LANES) body(std::true_type{}, c, LANES);
  if (c < channels) body(std::false_type{}, c, (int)(channels - c));
}

// to[tap][channel], zero in the lanes past the channels; turned: the last tap first.
void pack(const Depthwise& s, const float* weight, bool turned, float* to) {
  std::fill_n(to, s.taps() * s.lanes(), 0.0f);
  for (long r = 0; r < s.kernel_y; ++r)
    for (long q = 0; q < s.kernel_x; ++q) {
      const long tap = r * s.kernel_x + q;
      float* row = to + (turned ? s.taps() - 1 - tap : tap) * s.lanes();
      for (long c = 0; c < s.channels; ++c)
        row[c] = weight[c * s.by_channel + r * s.by_row + q * s.by_column];
    }
}

// What one pixel sums: products of source pixels and taps.
struct Terms {
  long count = 0;
  const float* source[MOST_TAPS];
  const float* weight[MOST_TAPS];

  void add(const float* from, const float* by) {
    source[count] = from;
    weight[count++] = by;
  }
};

void sum_terms(const Terms& terms, const float* bias, long channels, float* to) {
  each_vector(channels, [&](auto whole, long c, int n) {
    constexpr bool WHOLE = decltype(whole)::value;
    vec sum = load(bias + c);
    for (long t = 0; t < terms.count; ++t)
      sum += get<WHOLE>(terms.source[t] + c, n) * load(terms.weight[t] + c);
    put<WHOLE>(to + c, sum, n);
  });
}

// Images that taps slide over, and the outputs' size: the forward direction's or, with negative
// padding where need be, the data's.
struct Slide {
  const float* source;
  long images, height, width, out_height, out_width;
  long step_y, step_x, pad_y, pad_x;
};

// One row of outputs and what it sees.
struct Row {
  const float* source[MOST_TAPS];  // the rows that exist,
  long tap[MOST_TAPS];             // and the offset of each one's first tap
  long count, width, out_width, pixel, kernel, step, pad, dilation, lanes;

  Row(const Depthwise& s, const Slide& slide, long line)
      : count(0), width(slide.width), out_width(slide.out_width), pixel(s.channels),
        kernel(s.kernel_x), step(slide.step_x), pad(slide.pad_x), dilation(s.dilation_x),
        lanes(s.lanes()) {
    const long i = line % slide.out_height, image = line / slide.out_height;
    for (long r = 0; r < s.kernel_y; ++r) {
      const long y = i * slide.step_y + r * s.dilation_y - slide.pad_y;
      if (y < 0 || y >= slide.height) continue;
      source[count] = slide.source + (image * slide.height + y) * slide.width * s.channels;
      tap[count++] = r * s.kernel_x * s.lanes();
    }
  }

  // The source's column that output j's tap q sees, which may not exist.
  long column(long j, long q) const { return j * step + q * dilation - pad; }
  bool exists(long x) const { return x >= 0 && x < width; }

  // Outputs first .. last - 1 see no column that does not exist.
  void inside(long* first, long* last) const {
    *first = std::clamp(divide_up(pad, step), 0L, out_width);
    *last = std::clamp(divide_up(width - dilation * (kernel - 1) + pad, step), *first, out_width);
  }
};

// A row's sums: with these weights and bias, written there.
struct Sums {
  const float* weights;
  const float* bias;
  float* to;
};

template <int KERNEL, int STEP, bool WHOLE>
STRIATE_INLINE void sum_outputs(const Row& row, const Sums& sums, long j, long c, int n) {
  vec sum[OUTPUTS];
#pragma GCC unroll 4
  for (int o = 0; o < OUTPUTS; ++o) sum[o] = load(sums.bias + c);
  for (long r = 0; r < row.count; ++r) {
    const float* from = row.source[r] + row.column(j, 0) * row.pixel + c;
    vec weight[KERNEL];
#pragma GCC unroll 7
    for (int q = 0; q < KERNEL; ++q)
      weight[q] = load(sums.weights + row.tap[r] + q * row.lanes + c);
#pragma GCC unroll 16
    for (int p = 0; p < (OUTPUTS - 1) * STEP + KERNEL; ++p, from += row.pixel) {
      const vec value = get<WHOLE>(from, n);
#pragma GCC unroll 4
      for (int o = 0; o < OUTPUTS; ++o)
        if (p - o * STEP >= 0 && p - o * STEP < KERNEL) sum[o] += value * weight[p - o * STEP];
    }
  }
#pragma GCC unroll 4
  for (int o = 0; o < OUTPUTS; ++o) put<WHOLE>(sums.to + (j + o) * row.pixel + c, sum[o], n);
}

template <int KERNEL, int STEP>
long sum_inside(const Row& row, const Sums& sums, long j, long last) {
  for (; j + OUTPUTS <= last; j += OUTPUTS)
    each_vector(row.pixel, [&](auto whole, long c, int n) {
      sum_outputs<KERNEL, STEP, decltype(whole)::value>(row, sums, j, c, n);
    });
  return j;
}

void sum_pixel(const Row& row, const Sums& sums, long j) {
  Terms terms;
  for (long r = 0; r < row.count; ++r)
    for (long q = 0; q < row.kernel; ++q)
      if (row.exists(row.column(j, q)))
        terms.add(row.source[r] + row.column(j, q) * row.pixel,
                  sums.weights + row.tap[r] + q * row.lanes);
  sum_terms(terms, sums.bias, row.pixel, sums.to + j * row.pixel);
}

void sum_row(const Row& row, const Sums& sums) {
  long first, last, j = 0;
  row.inside(&first, &last);
  for (; j < first; ++j) sum_pixel(row, sums, j);
  const long code = row.dilation == 1 ? row.kernel * 10 + row.step : 0;
  if (code == 31) j = sum_inside<3, 1>(row, sums, j, last);
  if (code == 32) j = sum_inside<3, 2>(row, sums, j, last);
  if (code == 51) j = sum_inside<5, 1>(row, sums, j, last);
  if (code == 52) j = sum_inside<5, 2>(row, sums, j, last);
  if (code == 71) j = sum_inside<7, 1>(row, sums, j, last);
  for (; j < row.out_width; ++j) sum_pixel(row, sums, j);
}

void correlate(const Depthwise& s, const Slide& slide, const Sums& sums, const AppliedEpilogue& finish,
               int threads) {
  parallel(threads, [&](int part) {
    const Range mine = piece(slide.images * slide.out_height, threads, part);
    for (long line = mine.begin; line < mine.end; ++line) {
      float* to = sums.to + line * slide.out_width * s.channels;
      sum_row(Row(s, slide, line), {sums.weights, sums.bias, to});
      finish({to, 1, 0, slide.out_width, s.channels, 0, s.channels});
    }
  });
}

// What the data's gradient at one pixel sums where the stride is not one: outputs that saw it.
void add_seers(const Depthwise& s, const float* gy, const float* weights, long line, long w,
               Terms* terms) {
  const long image = line / s.height, h = line % s.height;
  for (long r = 0; r < s.kernel_y; ++r) {
    const long y = h + s.pad_y - r * s.dilation_y;
    if (y < 0 || y % s.step_y || y / s.step_y >= s.out_height) continue;
    const float* from = gy + (image * s.out_height + y / s.step_y) * s.out_width * s.channels;
    for (long q = 0; q < s.kernel_x; ++q) {
      const long x = w + s.pad_x - q * s.dilation_x;
      if (x < 0 || x % s.step_x || x / s.step_x >= s.out_width) continue;
      terms->add(from + x / s.step_x * s.channels, weights + (r * s.kernel_x + q) * s.lanes());
    }
  }
}

void gather_strided(const Depthwise& s, const float* gy, const float* weights, const float* zeros,
                    float* gx, int threads) {
  parallel(threads, [&](int part) {
    const Range mine = piece(s.images * s.height, threads, part);
    for (long line = mine.begin; line < mine.end; ++line)
      for (long w = 0; w < s.width; ++w) {
        Terms terms;
        add_seers(s, gy, weights, line, w, &terms);
        sum_terms(terms, zeros, s.channels, gx + (line * s.width + w) * s.channels);
      }
  });
}

// Sums over outputs first .. last - 1 of a row, for ROWS rows of the kernel and a vector of channels.
template <int KERNEL, int STEP, int ROWS, bool WHOLE>
STRIATE_INLINE void weight_outputs(const Row& row, const float* gy, long r, long first, long last,
                                   long c, int n, float* sums) {
  vec sum[ROWS][KERNEL] = {};
  const float* from[ROWS];
#pragma GCC unroll 3
  for (int k = 0; k < ROWS; ++k)
    from[k] = row.source[r + k] + row.column(first, 0) * row.pixel + c;
  for (long j = first; j < last; ++j) {
    const vec value = get<WHOLE>(gy + j * row.pixel + c, n);
#pragma GCC unroll 3
    for (int k = 0; k < ROWS; ++k) {
#pragma GCC unroll 7
      for (int q = 0; q < KERNEL; ++q) sum[k][q] += value * get<WHOLE>(from[k] + q * row.pixel, n);
      from[k] += STEP * row.pixel;
    }
  }
#pragma GCC unroll 3
  for (int k = 0; k < ROWS; ++k)
#pragma GCC unroll 7
    for (int q = 0; q < KERNEL; ++q) {
      float* to = sums + row.tap[r + k] + q * row.lanes + c;
      store(to, load(to) + sum[k][q]);
    }
}

template <int KERNEL, int STEP>
void weight_inside(const Row& row, const float* gy, long first, long last, float* sums) {
  // As many rows at once as sums fit into the registers.
  constexpr int ROWS = KERNEL == 3 ? 3 : KERNEL == 5 ? (REGISTERS == 32 ? 3 : 2) : 1;
  each_vector(row.pixel, [&](auto whole, long c, int n) {
    constexpr bool WHOLE = decltype(whole)::value;
    long r = 0;
    for (; r + ROWS <= row.count; r += ROWS)
      weight_outputs<KERNEL, STEP, ROWS, WHOLE>(row, gy, r, first, last, c, n, sums);
    for (; r < row.count; ++r)
      weight_outputs<KERNEL, STEP, 1, WHOLE>(row, gy, r, first, last, c, n, sums);
  });
}

void weight_pixel(const Row& row, const float* gy, long j, float* sums) {
  for (long r = 0; r < row.count; ++r)
    for (long q = 0; q < row.kernel; ++q) {
      if (!row.exists(row.column(j, q))) continue;
      const float* from = row.source[r] + row.column(j, q) * row.pixel;
      float* to = sums + row.tap[r] + q * row.lanes;
      each_vector(row.pixel, [&](auto whole, long c, int n) {
        constexpr bool WHOLE = decltype(whole)::value;
        const vec product = get<WHOLE>(from + c, n) * get<WHOLE>(gy + j * row.pixel + c, n);
        store(to + c, load(to + c) + product);
      });
    }
}

void weight_row(const Row& row, const float* gy, float* sums) {
  long first, last;
  row.inside(&first, &last);
  for (long j = 0; j < first; ++j) weight_pixel(row, gy, j, sums);
  const long code = row.dilation == 1 ? row.kernel * 10 + row.step : 0;
  if (code == 31)
    weight_inside<3, 1>(row, gy, first, last, sums);
  else if (code == 32)
    weight_inside<3, 2>(row, gy, first, last, sums);
  else if (code == 51)
    weight_inside<5, 1>(row, gy, first, last, sums);
  else if (code == 52)
    weight_inside<5, 2>(row, gy, first, last, sums);
  else if (code == 71)
    weight_inside<7, 1>(row, gy, first, last, sums);
  else
    last = first;
  for (long j = last; j < row.out_width; ++j) weight_pixel(row, gy, j, sums);
}

void bias_row(const Row& row, const float* gy, float* sums) {
  each_vector(row.pixel, [&](auto whole, long c, int n) {
    vec sum = {};
    for (long j = 0; j < row.out_width; ++j)
      sum += get<decltype(whole)::value>(gy + j * row.pixel + c, n);
    store(sums + c, load(sums + c) + sum);
  });
}

Slide forward_slide(const Depthwise& s, const float* x) {
  return {x,        s.images, s.height, s.width, s.out_height, s.out_width,
          s.step_y, s.step_x, s.pad_y,  s.pad_x};
}

// The turned kernel slides over the output's gradient: stride 1.
Slide data_slide(const Depthwise& s, const float* gy) {
  return {gy,
          s.images,
          s.out_height,
          s.out_width,
          s.height,
          s.width,
          1,
          1,
          s.dilation_y * (s.kernel_y - 1) - s.pad_y,
          s.dilation_x * (s.kernel_x - 1) - s.pad_x};
}

}  // namespace
}  // namespace striate

using namespace striate;

extern "C" int striate_depthwise_forward(const float* x, const float* weight, const float* bias,
                                         float* y, const Epilogue* epilogue,
                                         const int64_t* numbers, int threads) {
  Depthwise s;
  if (!s.read(numbers) || threads < 1 || (epilogue && !epilogue->possible())) return 1;
  Scratch scratch;
  const size_t weights = scratch.add<float>(s.taps() * s.lanes());
  const size_t padded = scratch.add<float>(s.lanes());
  const size_t scale = scratch.add<float>(s.channels);
  if (!scratch.allocate()) return 2;
  const AppliedEpilogue finish(epilogue, y, s.channels, scratch.at<float>(scale));
  float* start = scratch.at<float>(padded);
  std::fill_n(start, s.lanes(), 0.0f);
  if (bias) std::copy_n(bias, s.channels, start);
  pack(s, weight, false, scratch.at<float>(weights));
  correlate(s, forward_slide(s, x), {scratch.at<float>(weights), start, y}, finish,
            threads);
  return 0;
}

extern "C" int striate_depthwise_data(const float* gy, const float* weight, float* gx,
                                      const int64_t* numbers, int threads) {
  Depthwise s;
  if (!s.read(numbers) || threads < 1) return 1;
  Scratch scratch;
  const size_t weights = scratch.add<float>(s.taps() * s.lanes());
  const size_t zeros = scratch.add<float>(s.lanes());
  if (!scratch.allocate()) return 2;
  std::fill_n(scratch.at<float>(zeros), s.lanes(), 0.0f);
  const bool plain = s.step_y == 1 && s.step_x == 1;
  pack(s, weight, plain, scratch.at<float>(weights));
  const Sums sums = {scratch.at<float>(weights), scratch.at<float>(zeros), gx};
  if (plain)
    correlate(s, data_slide(s, gy), sums, AppliedEpilogue(nullptr, gx, s.channels, nullptr), threads);
  else
    gather_strided(s, gy, sums.weights, sums.bias, gx, threads);
  return 0;
}

// The gradients of the weight, written at the weight's strides, and of the bias where gb is not null.
extern "C" int striate_depthwise_weight(const float* x, const float* gy, float* gw, float* gb,
                                        const int64_t* numbers, int threads) {
  Depthwise s;
  if (!s.read(numbers) || threads < 1) return 1;
  const long taps = s.taps() * s.lanes(), size = taps + s.lanes();  // then the bias
  Scratch scratch;
  const size_t sums = scratch.add<float>(threads * size);
  if (!scratch.allocate()) return 2;
  float* all = scratch.at<float>(sums);
  const Slide slide = forward_slide(s, x);
  parallel(threads, [&](int part) {
    float* mine = all + part * size;
    std::fill_n(mine, size, 0.0f);
    const Range lines = piece(s.images * s.out_height, threads, part);
    for (long line = lines.begin; line < lines.end; ++line) {
      const Row row(s, slide, line);
      const float* g = gy + line * s.out_width * s.channels;
      weight_row(row, g, mine);
      if (gb) bias_row(row, g, mine + taps);
    }
  });
  for (int part = 1; part < threads; ++part)
    for (long k = 0; k < size; ++k) all[k] += all[part * size + k];
  for (long r = 0; r < s.kernel_y; ++r)
    for (long q = 0; q < s.kernel_x; ++q)
      for (long c = 0; c < s.channels; ++c)
        gw[c * s.by_channel + r * s.by_row + q * s.by_column] =
            all[(r * s.kernel_x + q) * s.lanes() + c];
  if (gb) std::copy_n(all + taps, s.channels, gb);
  return 0;
}
