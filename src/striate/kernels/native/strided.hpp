// Matrix products whose operands are read where they lie, at any strides.
//
// The products of gemm.hpp need operands in the order that Winograd's transforms write; here the
// left operand may be rows of images, of weights or of gathered patches, upright or turned.
#pragma once

#include "rounding.hpp"
#include "vec.hpp"

namespace striate {

// C[rows x lanes] = start + A B for one panel of B, or C += A B where start is null.
struct Strided {
  const float* a;  // element (row, k) at a[row * a_row + k * a_depth]
  long a_row, a_depth;
  const float* b;  // element (k, lane) at b[k * b_depth + lane], readable in whole vectors
  long b_depth;
  long depth;
  float* c;  // element (row, lane) at c[row * c_row + lane]
  long c_row;
  const float* start;  // added to every row, in whole vectors; null: C itself is added to
  int lanes;           // how many lanes of C there are, at most PANEL_VECS vectors
};

// Memory that a later product will read: asked for line by line while this one is computed, since
// the sums of a tile leave the machine few loads to look ahead by itself.
struct Ahead {
  const float* next;
  const float* end;
};

constexpr int PANEL_VECS = REGISTERS == 32 ? 4 : 2;

// How many rows' sums fit into the registers beside a row of B and a value of A.
constexpr int most_rows(int vecs) {
  if (vecs == 1) return 12;
  if (REGISTERS == 16) return 6;
  return vecs == 2 ? 12 : vecs == 3 ? 8 : 6;
}

// Lanes in equal panels of up to PANEL_VECS vectors.
struct Panels {
  long vecs, count;

  explicit Panels(long lanes)
      : vecs(divide_up(lanes, LANES)), count(divide_up(vecs, PANEL_VECS)) {}
  long begin(long panel) const { return vecs * panel / count * LANES; }
  long width(long panel) const { return begin(panel + 1) - begin(panel); }
  long lanes() const { return vecs * LANES; }
};

constexpr long LINE = 16;  // floats in a cache line

// `ahead` is asked for from on, a line (or nothing) further for each column.
template <int ROW, int VECS>
void strided_tile(const Strided& p, const float* ahead, long further) {
  vec sum[ROW][VECS] = {};
  const float* a = p.a;
  const float* b = p.b;
  for (long k = 0; k < p.depth; ++k, a += p.a_depth, b += p.b_depth, ahead += further) {
    prefetch(ahead);
    vec right[VECS];
#pragma GCC unroll 4
    for (int v = 0; v < VECS; ++v) right[v] = load(b + v * LANES);
#pragma GCC unroll 12
    for (int r = 0; r < ROW; ++r) {
      const vec left = splat(a[r * p.a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < VECS; ++v) sum[r][v] += left * right[v];
    }
  }
  const int last = p.lanes - (VECS - 1) * LANES;
#pragma GCC unroll 12
  for (int r = 0; r < ROW; ++r) {
    float* c = p.c + r * p.c_row;
#pragma GCC unroll 4
    for (int v = 0; v < VECS; ++v, c += LANES) {
      const bool whole = v < VECS - 1 || last == LANES;
      const vec base = p.start ? load(p.start + v * LANES) : whole ? load(c) : load_n(c, last);
      if (whole)
        store(c, base + sum[r][v]);
      else
        store_n(c, base + sum[r][v], last);
    }
  }
}

using StridedTile = void (*)(const Strided&, const float*, long);

template <int VECS, int ROW = 1>
StridedTile find_tile(long rows) {
  if constexpr (ROW < most_rows(VECS)) {
    if (rows > ROW) return find_tile<VECS, ROW + 1>(rows);
  }
  return strided_tile<ROW, VECS>;
}

// Any number of rows, shared out evenly: few rows at once use the machine badly.
template <int VECS>
void strided_rows(Strided p, long rows, Ahead& ahead) {
  const long most = most_rows(VECS);
  for (long tiles = divide_up(rows, most); tiles > 0; --tiles) {
    const long now = divide_up(rows, tiles);
    const bool asks = ahead.next < ahead.end;
    find_tile<VECS>(now)(p, asks ? ahead.next : p.a, asks ? LINE : 0);
    if (asks) ahead.next += p.depth * LINE;
    p.a += now * p.a_row;
    p.c += now * p.c_row;
    rows -= now;
  }
}

inline void multiply(const Strided& p, long rows, Ahead& ahead) {
  const int vecs = (p.lanes + LANES - 1) / LANES;
  if (vecs == 1) return strided_rows<1>(p, rows, ahead);
  if (vecs == 2) return strided_rows<2>(p, rows, ahead);
  if constexpr (PANEL_VECS == 4) {
    if (vecs == 3) return strided_rows<3>(p, rows, ahead);
    if (vecs == 4) return strided_rows<4>(p, rows, ahead);
  }
}

inline void multiply(const Strided& p, long rows) {
  Ahead nothing = {nullptr, nullptr};
  multiply(p, rows, nothing);
}

}  // namespace striate
