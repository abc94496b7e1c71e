// Batch normalisation, a residual and an activation in one operator: y = act((x - mean) a + b + r),
// a = weight / deviation. Two passes over memory forward, two backward; nothing but x, the
// statistics and r is needed to go back.
//
// Activations are (rows, channels) in memory. They are read as rows of whole vectors: as many
// pixels as make the number of values a multiple of a vector's ("a line"), so that any number of
// channels runs at full width, and each channel's parameters are repeated along the line.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "elementary.hpp"
#include "parallel.hpp"
#include "scratch.hpp"
#include "stream.hpp"

namespace striate {
namespace {

constexpr int AHEAD = 1024;  // values between what is read and what is asked for early
constexpr int GROUP = 4;  // lines that share one load of the parameters and one of the sums

// How (rows, channels) values are cut into lines, blocks of lines and parts of blocks. The parts
// depend on the size alone: sums come out the same for any number of threads.
struct Layout {
  int64_t channels, width, lines, rest, block;
  int parts;

  Layout(int64_t rows, int64_t num_channels) : channels(num_channels) {
    int64_t pixels = LANES / std::gcd<int64_t>(channels, LANES);
    while (pixels * channels < 4 * LANES) pixels *= 2;
    width = pixels * channels;
    lines = rows / pixels;
    rest = (rows - lines * pixels) * channels;  // values after the last whole line
    // Blocks of 16 KB stay in the first cache; each is long enough to pay for adding its sums.
    block = std::max<int64_t>(16, 4096 / width);
    const int64_t share = 65536;  // values that pay for handing over a part
    parts = static_cast<int>(std::clamp<int64_t>(lines * width / share, 1, 32));
  }

  int64_t repeats() const { return width / channels; }
};

void repeat(const Layout& layout, const float* values, float otherwise, float* line) {
  for (int64_t i = 0; i < layout.channels; ++i) line[i] = values ? values[i] : otherwise;
  for (int64_t i = layout.channels; i < layout.width; ++i) line[i] = line[i - layout.channels];
}

// Calls body(j, lanes) for the vectors of the values after the last whole line.
template <typename F>
void for_rest(const Layout& layout, F&& body) {
  for (int64_t j = 0; j < layout.rest; j += LANES)
    body(j, static_cast<int>(std::min<int64_t>(LANES, layout.rest - j)));
}

// Count, mean and sum of squared deviations of each column, joined pairwise.
// Source: Chan, Golub and LeVeque, Updating formulae (1979), eq. 2.1.
struct Moments {
  double count = 0;
  double *mean, *squares;

  void join(double n, const double* other_mean, const double* other_squares, int64_t size) {
    const double total = count + n, share = n / total, between = count * share;
    for (int64_t i = 0; i < size; ++i) {
      const double delta = other_mean[i] - mean[i];
      mean[i] += delta * share;
      squares[i] += other_squares[i] + delta * delta * between;
    }
    count = total;
  }
};

// Moments of the lines [begin, end): each block's in float32 about the block's own mean, while it
// lies in the first cache; blocks are joined in double precision.
void column_moments(const float* x, const Layout& layout, Range range, Moments& moments,
                    float* sums, double* block_moments) {
  const int64_t width = layout.width;
  float *mean = sums, *first = sums + width, *second = sums + 2 * width;
  double *block_mean = block_moments, *block_squares = block_moments + width;
  std::fill(moments.mean, moments.mean + width, 0.0);
  std::fill(moments.squares, moments.squares + width, 0.0);
  for (int64_t start = range.begin; start < range.end; start += layout.block) {
    const int64_t count = std::min<int64_t>(layout.block, range.end - start);
    const float inverse = 1.0f / static_cast<float>(count);
    std::fill(sums, sums + 3 * width, 0.0f);
    const float* lines = x + start * width;
    const auto over_lines = [&](auto&& per_vector) {
      int64_t line = 0;
      for (; line + GROUP <= count; line += GROUP)
        for (int64_t j = 0; j < width; j += LANES)
          per_vector(lines + line * width + j, j, std::integral_constant<int, GROUP>{});
      for (; line < count; ++line)
        for (int64_t j = 0; j < width; j += LANES)
          per_vector(lines + line * width + j, j, std::integral_constant<int, 1>{});
    };
    over_lines([&](const float* p, int64_t j, auto group) {
      vec sum = load(mean + j);
      for (int g = 0; g < group; ++g) {
        prefetch(p + g * width + layout.block * width);
        sum += load(p + g * width);
      }
      store(mean + j, sum);
    });
    for (int64_t j = 0; j < width; j += LANES) store(mean + j, load(mean + j) * inverse);
    over_lines([&](const float* p, int64_t j, auto group) {
      const vec centre = load(mean + j);
      vec sum = load(first + j), square = load(second + j);
      for (int g = 0; g < group; ++g) {
        const vec deviation = load(p + g * width) - centre;
        sum += deviation;
        square += deviation * deviation;
      }
      store(first + j, sum);
      store(second + j, square);
    });
    const double n = static_cast<double>(count);
    for (int64_t i = 0; i < width; ++i) {
      block_mean[i] = mean[i] + first[i] / n;
      block_squares[i] = second[i] - first[i] * (first[i] / n);
    }
    moments.join(n, block_mean, block_squares, width);
  }
}

int statistics(const float* x, int64_t rows, int64_t channels, float* mean, float* variance,
               int threads) {
  const Layout layout(rows, channels);
  const int64_t width = layout.width;
  Scratch scratch;
  const size_t column = scratch.add<double>(4 * width * layout.parts);
  const size_t sums = scratch.add<float>(3 * width * layout.parts);
  const size_t total = scratch.add<double>(2 * channels);
  if (!scratch.allocate()) return 2;
  double* columns = scratch.at<double>(column);
  float* line_sums = scratch.at<float>(sums);
  parallel(layout.parts, threads, [&](int part) {
    double* mine = columns + 4 * width * part;
    Moments moments{0, mine, mine + width};
    column_moments(x, layout, piece(layout.lines, layout.parts, part), moments,
                   line_sums + 3 * width * part, mine + 2 * width);
  });
  double* all = scratch.at<double>(total);
  std::fill(all, all + 2 * channels, 0.0);
  Moments joined{0, all, all + channels};
  for (int part = 0; part < layout.parts; ++part) {
    const Range range = piece(layout.lines, layout.parts, part);
    const double* mine = columns + 4 * width * part;
    if (range.end == range.begin) continue;
    for (int64_t i = 0; i < width; i += channels)
      joined.join(range.end - range.begin, mine + i, mine + width + i, channels);
  }
  double* value = columns;  // the columns' own moments are no longer needed
  double* zero = columns + channels;
  std::fill(zero, zero + channels, 0.0);
  for (int64_t i = 0; i < layout.rest; i += channels) {
    const float* pixel = x + layout.lines * width + i;
    std::copy(pixel, pixel + channels, value);
    joined.join(1, value, zero, channels);
  }
  for (int64_t i = 0; i < channels; ++i) {
    mean[i] = static_cast<float>(joined.mean[i]);
    variance[i] = static_cast<float>(joined.squares[i] / joined.count);
  }
  return 0;
}

// The parameters of y = act((x - mean) scale + shift + r), one line each.
struct Affine {
  const float *mean, *scale, *shift;
  STRIATE_INLINE vec centred(const float* x, int64_t j) const { return load(x) - load(mean + j); }
};

void fill_affine(const Layout& layout, const float* mean, const float* inverse,
                 const float* weight, const float* bias, float* lines) {
  repeat(layout, mean, 0.0f, lines);
  repeat(layout, weight, 1.0f, lines + layout.width);
  for (int64_t i = 0; i < layout.width; ++i)
    lines[layout.width + i] *= inverse[i % layout.channels];
  repeat(layout, bias, 0.0f, lines + 2 * layout.width);
}

// Calls body(offset, j, lanes) for each vector of a part's lines, the last part's also for the
// values after the last whole line; `lanes` is a constant where the vector is whole.
template <typename F>
STRIATE_INLINE void for_vectors(const Layout& layout, int part, F&& body) {
  const Range range = piece(layout.lines, layout.parts, part);
  for (int64_t line = range.begin; line < range.end; ++line)
    for (int64_t j = 0; j < layout.width; j += LANES)
      body(line * layout.width + j, j, std::integral_constant<int, LANES>{});
  if (part == layout.parts - 1)
    for_rest(layout, [&](int64_t j, int lanes) { body(layout.lines * layout.width + j, j, lanes); });
}

template <typename Act, bool RESIDUAL>
void apply(const float* x, const float* residual, const Affine& affine, float* y,
           const Layout& layout, int threads) {
  const bool far = goes_far(y, layout.lines * layout.width);
  parallel(layout.parts, threads, [&](int order) {
    // The statistics were read from the first part to the last: the last is still in the cache.
    const int part = layout.parts - 1 - order;
    for_vectors(layout, part, [&](int64_t i, int64_t j, auto lanes) {
      prefetch(x + i + AHEAD);
      if constexpr (RESIDUAL) prefetch(residual + i + AHEAD);
      vec z = normalised(load_some(x + i, lanes), load(affine.mean + j), load(affine.scale + j),
                         load(affine.shift + j));
      if constexpr (RESIDUAL) z += load_some(residual + i, lanes);
      store_far(y + i, Act::value(z), lanes, far);
    });
    drain();
  });
}

// Sums over the rows of dz and of dz (x - mean) for each column; dz = grad act'(z) is written to
// `dz` where that is asked for: it is the residual's gradient, or saves a costly slope.
template <typename Act, bool RESIDUAL>
void gradient_sums(const float* grad, const float* x, const float* residual, float* dz,
                   const Affine& affine, const Layout& layout, float* block_sums,
                   double* part_sums, int threads) {
  const int64_t width = layout.width;
  const auto one = [&](int64_t i, int64_t j, auto lanes, vec& sum, vec& product) {
    prefetch(x + i + AHEAD);
    prefetch(grad + i + AHEAD);
    if constexpr (RESIDUAL) prefetch(residual + i + AHEAD);
    const vec centred = load_some(x + i, lanes) - load(affine.mean + j);
    vec g = load_some(grad + i, lanes);
    if constexpr (!std::is_same_v<Act, Identity>) {
      vec z = centred * load(affine.scale + j) + load(affine.shift + j);
      if constexpr (RESIDUAL) z += load_some(residual + i, lanes);
      g = Act::gradient(g, z);
      if (dz) store_some(dz + i, g, lanes);
    }
    sum += g;
    product += g * centred;
  };
  parallel(layout.parts, threads, [&](int part) {
    float* sums = block_sums + 2 * width * part;
    double* totals = part_sums + 2 * width * part;
    std::fill(totals, totals + 2 * width, 0.0);
    std::fill(sums, sums + 2 * width, 0.0f);
    const auto flush = [&] {
      for (int64_t i = 0; i < 2 * width; ++i) totals[i] += sums[i];
      std::fill(sums, sums + 2 * width, 0.0f);
    };
    const auto over = [&](int64_t line, auto group) {
      for (int64_t j = 0; j < width; j += LANES) {
        vec sum = load(sums + j), product = load(sums + width + j);
        for (int g = 0; g < group; ++g)
          one((line + g) * width + j, j, std::integral_constant<int, LANES>{}, sum, product);
        store(sums + j, sum);
        store(sums + width + j, product);
      }
    };
    const Range range = piece(layout.lines, layout.parts, part);
    for (int64_t start = range.begin; start < range.end; start += 4 * layout.block) {
      const int64_t end = std::min<int64_t>(start + 4 * layout.block, range.end);
      int64_t line = start;
      for (; line + GROUP <= end; line += GROUP) over(line, std::integral_constant<int, GROUP>{});
      for (; line < end; ++line) over(line, std::integral_constant<int, 1>{});
      flush();
    }
    if (part == layout.parts - 1) {
      for_rest(layout, [&](int64_t j, int lanes) {
        vec sum = load(sums + j), product = load(sums + width + j);
        one(layout.lines * width + j, j, lanes, sum, product);
        store_n(sums + j, sum, lanes);
        store_n(sums + width + j, product, lanes);
      });
      flush();
    }
  });
}

// dx = scale (dz - mean_dz - (x - mean) slope).
template <typename Act, bool RESIDUAL>
void data_gradient(const float* grad, const float* x, const float* residual, const Affine& affine,
                   const float* mean_dz, const float* slope, float* dx, const Layout& layout,
                   int threads) {
  const bool far = goes_far(dx, layout.lines * layout.width);
  parallel(layout.parts, threads, [&](int order) {
    const int part = layout.parts - 1 - order;
    for_vectors(layout, part, [&](int64_t i, int64_t j, auto lanes) {
      prefetch(x + i + AHEAD);
      prefetch(grad + i + AHEAD);
      const vec centred = load_some(x + i, lanes) - load(affine.mean + j);
      const vec scale = load(affine.scale + j);
      vec g = load_some(grad + i, lanes);
      if constexpr (!std::is_same_v<Act, Identity>) {
        vec z = centred * scale + load(affine.shift + j);
        if constexpr (RESIDUAL) z += load_some(residual + i, lanes);
        g = Act::gradient(g, z);
      }
      const vec away = centred * load(slope + j) + load(mean_dz + j);
      store_far(dx + i, scale * (g - away), lanes, far);
    });
    drain();
  });
}

// Column sums of all parts to channels, in a fixed order.
void join_sums(const Layout& layout, const double* part_sums, double* sums, double* products) {
  std::fill(sums, sums + layout.channels, 0.0);
  std::fill(products, products + layout.channels, 0.0);
  for (int part = 0; part < layout.parts; ++part) {
    const double* mine = part_sums + 2 * layout.width * part;
    for (int64_t i = 0; i < layout.width; i += layout.channels)
      for (int64_t c = 0; c < layout.channels; ++c) {
        sums[c] += mine[i + c];
        products[c] += mine[layout.width + i + c];
      }
  }
}

bool impossible(int64_t rows, int64_t channels, int threads) {
  return rows < 1 || channels < 1 || threads < 1 || channels > (int64_t{1} << 40) / rows;
}

}  // namespace
}  // namespace striate

using namespace striate;

extern "C" {

// Mean and (biased) variance of each channel over the rows.
int striate_norm_statistics(const float* x, float* mean, float* variance, int64_t rows,
                            int64_t channels, int threads) {
  if (impossible(rows, channels, threads) || !x || !mean || !variance) return 1;
  return statistics(x, rows, channels, mean, variance, threads);
}

// y = act((x - mean) inverse weight + bias + residual); weight, bias and residual may be null.
int striate_norm_apply(const float* x, const float* residual, const float* mean,
                       const float* inverse, const float* weight, const float* bias, float* y,
                       int64_t rows, int64_t channels, int activation, int threads) {
  if (impossible(rows, channels, threads) || !x || !mean || !inverse || !y) return 1;
  const Layout layout(rows, channels);
  Scratch scratch;
  const size_t slice = scratch.add<float>(3 * layout.width);
  if (!scratch.allocate()) return 2;
  float* lines = scratch.at<float>(slice);
  fill_affine(layout, mean, inverse, weight, bias, lines);
  const Affine affine{lines, lines + layout.width, lines + 2 * layout.width};
  const bool known = with_activation(activation, [&](auto act) {
    using Act = decltype(act);
    if (residual) apply<Act, true>(x, residual, affine, y, layout, threads);
    else apply<Act, false>(x, residual, affine, y, layout, threads);
  });
  return known ? 0 : 1;
}

// Gradients of norm_apply. `batch`: mean and deviation are x's own, and dx follows them. dx and
// dresidual may be null: not computed; the latter is given only with a residual and an activation.
int striate_norm_backward(const float* grad, const float* x, const float* residual,
                          const float* mean, const float* inverse, const float* weight,
                          const float* bias, float* dx, float* dresidual, float* dweight,
                          float* dbias, int64_t rows, int64_t channels, int activation, int batch,
                          int threads) {
  if (impossible(rows, channels, threads) || !grad || !x || !mean || !inverse || !dweight || !dbias)
    return 1;
  const Layout layout(rows, channels);
  const int64_t width = layout.width;
  Scratch scratch;
  const size_t slice = scratch.add<float>(5 * width);
  const size_t block = scratch.add<float>(2 * width * layout.parts);
  const size_t part = scratch.add<double>(2 * width * layout.parts);
  const size_t total = scratch.add<double>(2 * channels);
  if (!scratch.allocate()) return 2;
  float* lines = scratch.at<float>(slice);
  fill_affine(layout, mean, inverse, weight, bias, lines);
  const Affine affine{lines, lines + width, lines + 2 * width};
  float *mean_dz = lines + 3 * width, *slope = lines + 4 * width;
  double *sums = scratch.at<double>(total), *products = sums + channels;
  const bool known = with_activation(activation, [&](auto act) {
    using Act = decltype(act);
    constexpr bool costly = !std::is_same_v<Act, Identity> && !std::is_same_v<Act, Relu>;
    float* dz = dresidual ? dresidual : costly ? dx : nullptr;
    if (residual)
      gradient_sums<Act, true>(grad, x, residual, dz, affine, layout,
                               scratch.at<float>(block), scratch.at<double>(part), threads);
    else
      gradient_sums<Act, false>(grad, x, residual, dz, affine, layout,
                                scratch.at<float>(block), scratch.at<double>(part), threads);
    join_sums(layout, scratch.at<double>(part), sums, products);
    const double share = batch ? 1.0 / static_cast<double>(rows) : 0.0;
    for (int64_t c = 0; c < channels; ++c) {
      dbias[c] = static_cast<float>(sums[c]);
      dweight[c] = static_cast<float>(products[c] * inverse[c]);
      mean_dz[c] = static_cast<float>(sums[c] * share);
      slope[c] = static_cast<float>(products[c] * share * inverse[c] * inverse[c]);
    }
    if (!dx) return;
    repeat(layout, mean_dz, 0.0f, mean_dz);
    repeat(layout, slope, 0.0f, slope);
    if (dz)  // neither the residual nor the activation is needed
      data_gradient<Identity, false>(dz, x, nullptr, affine, mean_dz, slope, dx, layout,
                                     threads);
    else if (residual)
      data_gradient<Act, true>(grad, x, residual, affine, mean_dz, slope, dx, layout, threads);
    else
      data_gradient<Act, false>(grad, x, residual, affine, mean_dz, slope, dx, layout, threads);
  });
  return known ? 0 : 1;
}

}  // extern "C"
