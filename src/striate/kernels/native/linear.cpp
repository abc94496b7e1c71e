// Fully connected layers: products of matrices in row order, packed block by block.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "parallel.hpp"
#include "scratch.hpp"
#include "strided.hpp"

namespace striate {
namespace {

// A block of the result and the operands' blocks for it stay in L2.
constexpr long MOST_ROWS = 192, MOST_LANES = 256, MOST_DEPTH = 192;

// A block of the left operand: element (row, k) at data[row * by_row + k * by_depth].
struct Left {
  const float* data;
  long by_row, by_depth;
};

// The result C[rows x lanes] = A B, with rows of C c_row floats apart.
struct Result {
  float* c;
  long c_row, rows, lanes, depth;
};

long space_size() { return MOST_ROWS * MOST_DEPTH + MOST_DEPTH * (MOST_LANES + 2 * LANES); }

// Rows of a matrix as panels: depth x lanes.
void pack_panels(const float* from, long row, long lanes, long depth, float* to) {
  const Panels panels(lanes);
  for (long q = 0; q < panels.count; ++q) {
    const long lane = panels.begin(q), width = panels.width(q);
    const long whole = std::min(width, lanes - lane) / LANES * LANES;
    const int rest = (int)(std::min(width, lanes - lane) - whole);
    for (long k = 0; k < depth; ++k, to += width) {
      const float* source = from + k * row + lane;
      for (long v = 0; v < whole; v += LANES) store(to + v, load(source + v));
      if (rest) store(to + whole, load_n(source + whole, rest));
    }
  }
}

// Columns of a matrix as panels: to[k][lane] = from[lane][k].
void pack_transposed(const float* from, long row, long lanes, long depth, float* to) {
  const Panels panels(lanes);
  for (long q = 0; q < panels.count; ++q) {
    const long lane = panels.begin(q), width = panels.width(q);
    const long there = std::min(width, lanes - lane);
    for (long k0 = 0; k0 < depth; k0 += 16)
      for (long l0 = 0; l0 < width; l0 += 8)
        for (long k = k0; k < std::min(k0 + 16, depth); ++k)
          for (long l = l0; l < std::min(l0 + 8, width); ++l)
            to[k * width + l] = l < there ? from[(lane + l) * row + k] : 0.0f;
    to += depth * width;
  }
}

// One block of the result: `left(row, rows, k, depth, space)` gives a block of A,
// `right(lane, lanes, k, depth, space)` one of B, as Panels(lanes).
template <typename L, typename R>
void multiply_block(const Result& result, long row, long rows, long lane, long lanes, const L& left,
                    const R& right, float* space) {
  static const float zeros[PANEL_VECS * LANES] = {};
  const Panels panels(lanes);
  float* c = result.c + row * result.c_row + lane;
  for (long k = 0; k < result.depth; k += MOST_DEPTH) {
    const long depth = std::min(MOST_DEPTH, result.depth - k);
    const Left a = left(row, rows, k, depth, space);
    const float* b = right(lane, lanes, k, depth, space + MOST_ROWS * MOST_DEPTH);
    for (long q = 0; q < panels.count; ++q) {
      const long from = panels.begin(q), width = panels.width(q);
      const Strided product = {a.data, a.by_row, a.by_depth, b + depth * from, width, depth,
                               c + from, result.c_row, k == 0 ? zeros : nullptr,
                               (int)std::min(width, lanes - from)};
      multiply(product, rows);
    }
  }
}

template <typename L, typename R>
void multiply_blocks(const Result& result, const L& left, const R& right, int threads,
                     float* spaces) {
  const long vecs = divide_up(result.lanes, LANES), by_lanes = divide_up(result.lanes, MOST_LANES);
  long by_rows = divide_up(result.rows, MOST_ROWS);
  // Enough blocks that no thread waits long for another.
  while (by_lanes * by_rows < 2 * threads && by_rows * 12 < result.rows) ++by_rows;
  parallel(threads, [&](int part) {
    const Range mine = piece(by_rows * by_lanes, threads, part);
    for (long block = mine.begin; block < mine.end; ++block) {
      const Range rows = piece(result.rows, (int)by_rows, (int)(block % by_rows));
      const Range columns = piece(vecs, (int)by_lanes, (int)(block / by_rows));
      const long lane = columns.begin * LANES;
      multiply_block(result, rows.begin, rows.end - rows.begin, lane,
                     std::min(result.lanes, columns.end * LANES) - lane, left, right,
                     spaces + part * space_size());
    }
  });
}

bool impossible(int64_t examples, int64_t inputs, int64_t outputs, int threads) {
  return examples < 0 || inputs < 1 || outputs < 1 || threads < 1;
}

// y[example][output] for the part-th share of examples, from turned[output][example].
void turn(const float* turned, long row, long examples, long outputs, const float* bias, float* y,
          int threads) {
  parallel(threads, [&](int part) {
    const Range mine = piece(examples, threads, part);
    for (long first = 0; first < outputs; first += 16)
      for (long e = mine.begin; e < mine.end; ++e)
        for (long n = first; n < std::min<long>(first + 16, outputs); ++n)
          y[e * outputs + n] = turned[n * row + e] + (bias ? bias[n] : 0.0f);
  });
}

}  // namespace
}  // namespace striate

using namespace striate;

// y[M x N] = x[M x K] w[N x K]' + bias. The weight is by far the largest operand and is read where
// it lies, once: the product is formed with the examples as lanes, and turned at the end.
extern "C" int striate_linear_forward(const float* x, const float* w, const float* bias, float* y,
                                      int64_t examples, int64_t inputs, int64_t outputs,
                                      int threads) {
  if (impossible(examples, inputs, outputs, threads)) return 1;
  const long most = std::min<long>(MOST_LANES, round_up(examples, LANES));
  const long blocks = divide_up(inputs, MOST_DEPTH);
  Scratch scratch;
  const size_t spaces = scratch.add<float>(threads * space_size());
  const size_t panels = scratch.add<float>(inputs * most);
  const size_t results = scratch.add<float>(outputs * most);
  if (!scratch.allocate()) return 2;
  float* packed = scratch.at<float>(panels);
  float* turned = scratch.at<float>(results);
  for (long first = 0; first < examples; first += most) {
    const long lanes = std::min<long>(most, examples - first), whole = round_up(lanes, LANES);
    parallel(threads, [&](int part) {
      const Range mine = piece(blocks, threads, part);
      for (long k = mine.begin * MOST_DEPTH; k < std::min(mine.end * MOST_DEPTH, (long)inputs);
           k += MOST_DEPTH)
        pack_transposed(x + first * inputs + k, inputs, lanes,
                        std::min(MOST_DEPTH, (long)inputs - k), packed + k * whole);
    });
    multiply_blocks(
        Result{turned, whole, outputs, lanes, inputs},
        [&](long row, long, long k, long, float*) {
          return Left{w + row * inputs + k, inputs, 1};
        },
        [&](long, long, long k, long, float*) { return packed + k * whole; }, threads,
        scratch.at<float>(spaces));
    turn(turned, whole, lanes, outputs, bias, y + first * outputs, threads);
  }
  return 0;
}

// gx[M x K] = gy[M x N] w[N x K].
extern "C" int striate_linear_data(const float* gy, const float* w, float* gx, int64_t examples,
                                   int64_t inputs, int64_t outputs, int threads) {
  if (impossible(examples, inputs, outputs, threads)) return 1;
  Scratch scratch;
  const size_t spaces = scratch.add<float>(threads * space_size());
  if (!scratch.allocate()) return 2;
  multiply_blocks(
      Result{gx, inputs, examples, inputs, outputs},
      [&](long row, long, long k, long, float*) {
        return Left{gy + row * outputs + k, outputs, 1};
      },
      [&](long lane, long lanes, long k, long depth, float* space) {
        pack_panels(w + k * inputs + lane, inputs, lanes, depth, space);
        return space;
      },
      threads, scratch.at<float>(spaces));
  return 0;
}

// gw[N x K] = gy[M x N]' x[M x K].
extern "C" int striate_linear_weight(const float* x, const float* gy, float* gw, int64_t examples,
                                     int64_t inputs, int64_t outputs, int threads) {
  if (impossible(examples, inputs, outputs, threads)) return 1;
  if (examples == 0) std::fill_n(gw, inputs * outputs, 0.0f);
  Scratch scratch;
  const size_t spaces = scratch.add<float>(threads * space_size());
  if (!scratch.allocate()) return 2;
  multiply_blocks(
      Result{gw, inputs, outputs, inputs, examples},
      [&](long row, long rows, long k, long depth, float* space) {
        for (long d = 0; d < depth; ++d)
          std::memcpy(space + d * rows, gy + (k + d) * outputs + row, rows * sizeof(float));
        return Left{space, 1, rows};
      },
      [&](long lane, long lanes, long k, long depth, float* space) {
        pack_panels(x + k * inputs + lane, inputs, lanes, depth, space);
        return space;
      },
      threads, scratch.at<float>(spaces));
  return 0;
}
