// The one-dimensional transforms of Winograd's minimal filtering F(m, 3), on vectors of channels.
//
// Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4;
// the matrices by interpolation at 0, +-a, +-b and infinity as in Winograd, Arithmetic Complexity of
// Computations, 1980. m + 2 inputs give m outputs:
//     y = A^T [ (G g) * (B^T d) ],  and for the kernel's gradient  dg = G^T [ (B^T d) * (A dy) ].
#pragma once

#include <cstddef>

#include "vec.hpp"

namespace striate {

template <int M>
struct Winograd;

// F(2, 3): points 0, 1, -1, infinity.
template <>
struct Winograd<2> {
  // B^T: out[i * S] from in[i * S], 4 to 4.
  template <int S>
  static STRIATE_INLINE void image(const vec* d, vec* o) {
    o[0] = d[0] - d[2 * S];
    o[S] = d[S] + d[2 * S];
    o[2 * S] = d[2 * S] - d[S];
    o[3 * S] = d[3 * S] - d[S];
  }
  // G: 3 to 4.
  static STRIATE_INLINE void kernel(const vec* g, int s, vec* o, int to) {
    const vec even = (g[0] + g[2 * s]) * 0.5f, odd = g[s] * 0.5f;
    o[0] = g[0];
    o[to] = even + odd;
    o[2 * to] = even - odd;
    o[3 * to] = g[2 * s];
  }
  // A^T: 4 to 2.
  static STRIATE_INLINE void output(const vec* m, int s, vec* o, int to) {
    o[0] = m[0] + m[s] + m[2 * s];
    o[to] = m[s] - m[2 * s] + m[3 * s];
  }
  // A: 2 to 4.
  static STRIATE_INLINE void gradient(const vec* y, int s, vec* o, int to) {
    o[0] = y[0];
    o[to] = y[0] + y[s];
    o[2 * to] = y[0] - y[s];
    o[3 * to] = y[s];
  }
  // G^T: 4 to 3.
  static STRIATE_INLINE void kernel_gradient(const vec* u, int s, vec* o, int to) {
    const vec sum = (u[s] + u[2 * s]) * 0.5f, difference = (u[s] - u[2 * s]) * 0.5f;
    o[0] = u[0] + sum;
    o[to] = difference;
    o[2 * to] = sum + u[3 * s];
  }
};

// F(4, 3): points 0, +-a, +-b, infinity. With 5/8 and 3/2 the error is half (root mean square) or less
// than a third (largest) of that with the usual 1 and 2, at the same cost; their products are exact.
template <>
struct Winograd<4> {
  static constexpr float a = 0.625f, b = 1.5f, aa = a * a, bb = b * b;
  // The products of a point's differences to the others, which G divides by.
  static constexpr float at_0 = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)),
                         at_b = 1 / (2 * bb * (bb - aa));

  template <int S>
  static STRIATE_INLINE void image(const vec* d, vec* o) {
    const vec ea = d[4 * S] - bb * d[2 * S], oa = d[3 * S] - bb * d[S];
    const vec eb = d[4 * S] - aa * d[2 * S], ob = d[3 * S] - aa * d[S];
    o[0] = (d[4 * S] + (aa * bb) * d[0]) - (aa + bb) * d[2 * S];
    o[5 * S] = (d[5 * S] + (aa * bb) * d[S]) - (aa + bb) * d[3 * S];
    o[S] = ea + a * oa;
    o[2 * S] = ea - a * oa;
    o[3 * S] = eb + b * ob;
    o[4 * S] = eb - b * ob;
  }
  static STRIATE_INLINE void kernel(const vec* g, int s, vec* o, int to) {
    const vec ea = at_a * g[0] + (at_a * aa) * g[2 * s], oa = (at_a * a) * g[s];
    const vec eb = at_b * g[0] + (at_b * bb) * g[2 * s], ob = (at_b * b) * g[s];
    o[0] = at_0 * g[0];
    o[to] = ea + oa;
    o[2 * to] = ea - oa;
    o[3 * to] = eb + ob;
    o[4 * to] = eb - ob;
    o[5 * to] = g[2 * s];
  }
  static STRIATE_INLINE void output(const vec* m, int s, vec* o, int to) {
    const vec ea = m[s] + m[2 * s], oa = m[s] - m[2 * s];
    const vec eb = m[3 * s] + m[4 * s], ob = m[3 * s] - m[4 * s];
    o[0] = m[0] + ea + eb;
    o[to] = a * oa + b * ob;
    o[2 * to] = aa * ea + bb * eb;
    o[3 * to] = (m[5 * s] + (a * aa) * oa) + (b * bb) * ob;
  }
  static STRIATE_INLINE void gradient(const vec* y, int s, vec* o, int to) {
    const vec ea = y[0] + aa * y[2 * s], oa = a * y[s] + (a * aa) * y[3 * s];
    const vec eb = y[0] + bb * y[2 * s], ob = b * y[s] + (b * bb) * y[3 * s];
    o[0] = y[0];
    o[to] = ea + oa;
    o[2 * to] = ea - oa;
    o[3 * to] = eb + ob;
    o[4 * to] = eb - ob;
    o[5 * to] = y[3 * s];
  }
  static STRIATE_INLINE void kernel_gradient(const vec* u, int s, vec* o, int to) {
    const vec ea = u[s] + u[2 * s], oa = u[s] - u[2 * s];
    const vec eb = u[3 * s] + u[4 * s], ob = u[3 * s] - u[4 * s];
    o[0] = at_0 * u[0] + at_a * ea + at_b * eb;
    o[to] = (at_a * a) * oa + (at_b * b) * ob;
    o[2 * to] = ((at_a * aa) * ea + u[5 * s]) + (at_b * bb) * eb;
  }
};

}  // namespace striate
