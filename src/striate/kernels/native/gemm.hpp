// Small matrix products whose operands already lie in the order in which they are read.
//
// Rows come in panels: the operand that is broadcast holds LANES neighbouring values of a row
// together; the other operand and the result hold COLUMNS * LANES values together. Nothing is packed
// here: the transforms before write these layouts.
#pragma once

#include <cstddef>

#include "vec.hpp"

namespace striate {

// A result tile of ROWS x COLUMNS vectors fills the registers but for the operands'.
constexpr int COLUMNS = 2;
constexpr int ROWS = REGISTERS == 32 ? 12 : 6;
constexpr int PANEL = COLUMNS * LANES;

// c[r][:] = sum over k < depth of a(r, k) * b[k][:] for ROW rows and COLS vectors.
// a(r, k) lies at a[(k / LANES) * a_panel + r * LANES + k % LANES]; depth is a multiple of LANES.
// While it works it asks for `ahead`, the operand b of a later call (as many bytes as this one).
template <int ROW, int COLS, bool AHEAD>
STRIATE_INLINE void product_tile(const float* a, ptrdiff_t a_panel, const float* b, ptrdiff_t depth,
                                 float* c, ptrdiff_t c_row, const float* ahead) {
  vec sums[ROW][COLS] = {};
  for (ptrdiff_t k = 0; k < depth; k += LANES, a += a_panel) {
#pragma GCC unroll 4
    for (int lane = 0; lane < LANES; ++lane, b += COLS * LANES) {
      vec row[COLS];
#pragma GCC unroll 4
      for (int j = 0; j < COLS; ++j) row[j] = load(b + j * LANES);
      if (AHEAD) {
#pragma GCC unroll 4
        for (int j = 0; j < COLS * LANES; j += 16) prefetch(ahead + j);
        ahead += COLS * LANES;
      }
#pragma GCC unroll 16
      for (int r = 0; r < ROW; ++r) {
        const vec value = splat(a[r * LANES + lane]);
#pragma GCC unroll 4
        for (int j = 0; j < COLS; ++j) sums[r][j] += value * row[j];
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROW; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < COLS; ++j) store(c + r * c_row + j * LANES, sums[r][j]);
}

template <int COLS, bool AHEAD, int ROW = ROWS>
inline void product_rows(int rows, const float* a, ptrdiff_t a_panel, const float* b,
                         ptrdiff_t depth, float* c, ptrdiff_t c_row, const float* ahead) {
  if constexpr (ROW > 0) {
    if (rows == ROW)
      product_tile<ROW, COLS, AHEAD>(a, a_panel, b, depth, c, c_row, ahead);
    else
      product_rows<COLS, AHEAD, ROW - 1>(rows, a, a_panel, b, depth, c, c_row, ahead);
  }
}

// c[r][:] = sum over k of a(r, k) * b[k][:] for any number of rows.
// The rows are shared out evenly, since few rows at once use the machine badly.
template <int COLS>
inline void product(int rows, const float* a, ptrdiff_t a_panel, const float* b, ptrdiff_t depth,
                    float* c, ptrdiff_t c_row, const float* ahead) {
  int tiles = (rows + ROWS - 1) / ROWS;
  bool first = true;
  for (int r = 0; r < rows; --tiles) {
    const int now = (rows - r + tiles - 1) / tiles;
    const float* from = a + r * LANES;
    float* to = c + r * c_row;
    if (first)
      product_rows<COLS, true>(now, from, a_panel, b, depth, to, c_row, ahead);
    else
      product_rows<COLS, false>(now, from, a_panel, b, depth, to, c_row, ahead);
    first = false;
    r += now;
  }
}

// The product that sums over rows. Rows of the result are lanes of a panel of `a`: a whole number of
// these tiles fits a panel.
constexpr int OUTER_ROWS = REGISTERS == 32 ? (LANES < 8 ? LANES : 8) : 4;

// c[m][:] (+)= sum over t < depth of a[t][m] * b[t][:] for OUTER_ROWS values of m; a has rows of
// LANES, b and c of COLS * LANES.
// Results lie one behind another; those of later tiles are asked for meanwhile, since a machine
// does not see past the long sums of one.
constexpr int AHEAD_TILES = 2;

template <int COLS, bool ADD>
STRIATE_INLINE void outer_tile(const float* a, const float* b, ptrdiff_t depth, float* c) {
  vec sums[OUTER_ROWS][COLS] = {};
#pragma GCC unroll 16
  for (int line = 0; line < OUTER_ROWS * COLS * LANES; line += 16)
    prefetch_write(c + OUTER_ROWS * COLS * LANES * AHEAD_TILES + line);
  for (ptrdiff_t t = 0; t < depth; ++t, a += LANES, b += COLS * LANES) {
    vec row[COLS];
#pragma GCC unroll 4
    for (int j = 0; j < COLS; ++j) row[j] = load(b + j * LANES);
#pragma GCC unroll 8
    for (int m = 0; m < OUTER_ROWS; ++m) {
      const vec value = splat(a[m]);
#pragma GCC unroll 4
      for (int j = 0; j < COLS; ++j) sums[m][j] += value * row[j];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < OUTER_ROWS; ++m)
#pragma GCC unroll 4
    for (int j = 0; j < COLS; ++j) {
      float* to = c + (m * COLS + j) * LANES;
      // Added at the end: the sum of a block does not drown in that of all blocks before.
      store(to, ADD ? load(to) + sums[m][j] : sums[m][j]);
    }
}

}  // namespace striate
