// 3x3 convolution of stride 1 by Winograd's minimal filtering: forward (which is the gradient of the
// data too, for a turned kernel) and the gradient of the kernel.
//
// Tiles of all images are numbered in one row and worked on in blocks whose transforms stay in the
// L2 cache: transform of the images, one matrix product for each of the (m + 2)^2 positions and a
// panel of output channels, transform of the outputs. Channels are padded with zeros to whole
// vectors in the scratch memory only.
#include "winograd.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cache.hpp"
#include "epilogue.hpp"
#include "gemm.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

namespace striate {
namespace {

// Neighbouring positions lie this many floats further than their size: powers of two apart, they
// would all fall into the same few sets of the cache.
constexpr ptrdiff_t SKEW = 16;

ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }
ptrdiff_t round_up(ptrdiff_t a, ptrdiff_t to) { return ceil_div(a, to) * to; }

struct Shape {
  ptrdiff_t B, H, W, C, K, pad_h, pad_w;

  ptrdiff_t out_h() const { return H + 2 * pad_h - 2; }
  ptrdiff_t out_w() const { return W + 2 * pad_w - 2; }
  bool possible() const {
    return B > 0 && H > 0 && W > 0 && C > 0 && K > 0 && pad_h >= 0 && pad_h <= 2 && pad_w >= 0 &&
           pad_w <= 2 && out_h() > 0 && out_w() > 0;
  }
};

struct Strides {
  ptrdiff_t k, c, r, s;
};

// The tiles of all images, and the pixels of each.
template <int M>
struct Tiling {
  static constexpr int SIDE = M + 2, POSITIONS = SIDE * SIDE;
  Shape shape;
  ptrdiff_t down, across, count;

  explicit Tiling(const Shape& s)
      : shape(s),
        down(ceil_div(s.out_h(), M)),
        across(ceil_div(s.out_w(), M)),
        count(s.B * down * across) {}

  struct Place {
    ptrdiff_t image, row, column;  // of the tile's first output
  };

  Place place(ptrdiff_t tile) const {
    const ptrdiff_t in_image = tile % (down * across);
    return {tile / (down * across), in_image / across * M, in_image % across * M};
  }

  // Where the N x N pixels from (row, column) of an image lie; `zeros` for those outside it.
  template <int N>
  static void pixels(const float* image, ptrdiff_t H, ptrdiff_t W, ptrdiff_t channels,
                     ptrdiff_t row, ptrdiff_t column, const float* zeros, const float** found) {
    for (int i = 0; i < N; ++i) {
      const ptrdiff_t h = row + i;
      const float* line = image + (h * W + column) * channels;
      const bool inside = h >= 0 && h < H;
      for (int j = 0; j < N; ++j) {
        const ptrdiff_t w = column + j;
        found[i * N + j] = inside && w >= 0 && w < W ? line + j * channels : zeros;
      }
    }
  }
};

// B^T d B for one tile and one vector of channels. Meanwhile asks for the same channels of the tile
// to come: its own columns, as the others are those of its left neighbour.
template <int M, bool TAIL>
STRIATE_INLINE void image_tile(const float* const* pixels, const float* const* coming,
                               ptrdiff_t c, int n, float* out, ptrdiff_t stride) {
  constexpr int SIDE = M + 2;
  vec half[SIDE * SIDE];
#pragma GCC unroll 6
  for (int j = 0; j < SIDE; ++j) {
    vec d[SIDE], o[SIDE];
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; ++i) {
      const float* p = pixels[i * SIDE + j] + c;
      d[i] = TAIL ? load_n(p, n) : load(p);
      if (j >= 2) prefetch_near(coming[i * SIDE + j] + c);
    }
    Winograd<M>::template image<1>(d, o);
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; ++i) half[i * SIDE + j] = o[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < SIDE; ++i) {
    vec o[SIDE];
    Winograd<M>::template image<1>(half + i * SIDE, o);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; ++j) store(out + (i * SIDE + j) * stride, o[j]);
  }
}

// All channels of a tile; vectors of channels lie `panel` floats apart.
template <int M>
void image_channels(const float* const* pixels, const float* const* coming, ptrdiff_t C,
                    float* out, ptrdiff_t panel, ptrdiff_t stride) {
  ptrdiff_t c = 0;
  for (; c + LANES <= C; c += LANES, out += panel)
    image_tile<M, false>(pixels, coming, c, LANES, out, stride);
  if (c < C) image_tile<M, true>(pixels, coming, c, static_cast<int>(C - c), out, stride);
}

// The transforms of tiles [first, first + tiles): out[position][panel][tile][lane].
template <int M>
void transform_images(const Tiling<M>& tiling, const float* x, const float* zeros,
                      ptrdiff_t first, int tiles, float* out, ptrdiff_t panel, ptrdiff_t stride) {
  const Shape& s = tiling.shape;
  const float* pixels[2][Tiling<M>::POSITIONS];
  const auto find = [&](ptrdiff_t tile) {
    const auto at = tiling.place(std::min(tile, tiling.count - 1));
    tiling.template pixels<M + 2>(x + at.image * s.H * s.W * s.C, s.H, s.W, s.C,
                                  at.row - s.pad_h, at.column - s.pad_w, zeros, pixels[tile % 2]);
  };
  find(first);
  for (ptrdiff_t t = 0; t < tiles; ++t) {
    find(first + t + 1);
    image_channels<M>(pixels[(first + t) % 2], pixels[(first + t + 1) % 2], s.C, out + t * LANES,
                      panel, stride);
  }
}

// G g G^T for a vector of output channels and `count` input channels from c.
template <int M>
void transform_kernels(const float* w, const Strides& at, ptrdiff_t k, int n, ptrdiff_t c,
                       int count, float* out, ptrdiff_t row, ptrdiff_t stride) {
  constexpr int SIDE = M + 2, MOST = 16;
  float gathered[MOST][9][LANES] = {};
  for (int lane = 0; lane < n; ++lane)
    for (int i = 0; i < count; ++i) {
      const float* g = w + (k + lane) * at.k + (c + i) * at.c;
      for (int r = 0; r < 3; ++r)
        for (int q = 0; q < 3; ++q) gathered[i][r * 3 + q][lane] = g[r * at.r + q * at.s];
    }
  for (int i = 0; i < count; ++i) {
    vec g[9], half[SIDE * 3], o[SIDE];
    for (int e = 0; e < 9; ++e) g[e] = load(gathered[i][e]);
    for (int q = 0; q < 3; ++q) Winograd<M>::kernel(g + q, 3, half + q, 3);
    for (int r = 0; r < SIDE; ++r) {
      Winograd<M>::kernel(half + r * 3, 1, o, 1);
      for (int q = 0; q < SIDE; ++q) store(out + i * row + (r * SIDE + q) * stride, o[q]);
    }
  }
}

// A^T m A + bias for one tile and one vector of channels.
template <int M, bool TAIL>
STRIATE_INLINE void output_tile(const float* m, ptrdiff_t stride, vec bias, float* y,
                                ptrdiff_t line, ptrdiff_t pixel, int rows, int columns, int n) {
  constexpr int SIDE = M + 2;
  vec half[M * SIDE];
#pragma GCC unroll 6
  for (int j = 0; j < SIDE; ++j) {
    vec in[SIDE];
#pragma GCC unroll 6
    for (int i = 0; i < SIDE; ++i) in[i] = load(m + (i * SIDE + j) * stride);
    Winograd<M>::output(in, 1, half + j, SIDE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
    if (i >= rows) break;
    vec o[M];
    Winograd<M>::output(half + i * SIDE, 1, o, 1);
#pragma GCC unroll 4
    for (int j = 0; j < M; ++j) {
      if (j >= columns) break;
      float* to = y + i * line + j * pixel;
      if (TAIL)
        store_n(to, o[j] + bias, n);
      else
        store(to, o[j] + bias);
    }
  }
}

template <int M>
void transform_outputs(const Tiling<M>& tiling, const float* m, ptrdiff_t stride, int columns,
                       const float* bias, ptrdiff_t k, ptrdiff_t first, int tiles, float* y,
                       const AppliedEpilogue& finish) {
  const Shape& s = tiling.shape;
  const ptrdiff_t H = s.out_h(), W = s.out_w();
  for (int t = 0; t < tiles; ++t) {
    const auto at = tiling.place(first + t);
    const int down = static_cast<int>(std::min<ptrdiff_t>(M, H - at.row));
    const int across = static_cast<int>(std::min<ptrdiff_t>(M, W - at.column));
    float* to = y + ((at.image * H + at.row) * W + at.column) * s.K + k;
    if (t + 1 < tiles) {
      const auto then = tiling.place(first + t + 1);
      const float* coming = y + ((then.image * H + then.row) * W + then.column) * s.K + k;
      const ptrdiff_t rows = std::min<ptrdiff_t>(M, H - then.row);
      const ptrdiff_t across = std::min<ptrdiff_t>(M, W - then.column);
      for (ptrdiff_t i = 0; i < rows; ++i)
        for (ptrdiff_t j = 0; j < across; ++j)
          for (int line = 0; line < columns * LANES; line += 16)
            prefetch_write(coming + (i * W + j) * s.K + line);
    }
    const ptrdiff_t channels = std::min<ptrdiff_t>(columns * LANES, s.K - k);
    const Piece whole{to, down, W * s.K, across, s.K, k, channels};
    for (int j = 0; j < columns; ++j, m += LANES, to += LANES) {
      const ptrdiff_t left = s.K - k - j * LANES;
      const int n = static_cast<int>(std::min<ptrdiff_t>(LANES, left));
      const vec b = bias ? load_n(bias + k + j * LANES, n) : vec{};
      if (n == LANES)
        output_tile<M, false>(m, stride, b, to, W * s.K, s.K, down, across, n);
      else
        output_tile<M, true>(m, stride, b, to, W * s.K, s.K, down, across, n);
    }
    finish(whole);
  }
}

// How many tiles a block holds: their transforms and a panel of products fill the L2 cache, and
// every thread has blocks enough to share out.
int forward_block(ptrdiff_t tiles, ptrdiff_t floats_of_tile, int threads) {
  const ptrdiff_t room = static_cast<ptrdiff_t>(l2_bytes() * 6 / 10 / sizeof(float));
  const ptrdiff_t fits = std::max<ptrdiff_t>(room / floats_of_tile / ROWS, 1) * ROWS;
  const ptrdiff_t most = std::min<ptrdiff_t>(fits, 8 * ROWS);
  const ptrdiff_t blocks = round_up(ceil_div(tiles, most), threads);
  return static_cast<int>(ceil_div(tiles, blocks));
}

template <int M>
int forward(const Shape& s, const float* x, const float* w, const Strides& at, const float* bias,
            const Epilogue* epilogue, float* y, int threads) {
  constexpr int POSITIONS = Tiling<M>::POSITIONS;
  const Tiling<M> tiling(s);
  const ptrdiff_t C = round_up(s.C, LANES), panels = ceil_div(s.K, PANEL);
  const int block = forward_block(tiling.count, POSITIONS * (C + PANEL), threads);
  const ptrdiff_t blocks = ceil_div(tiling.count, block);
  const ptrdiff_t v_stride = C * block + SKEW, m_stride = block * PANEL + SKEW;

  Scratch scratch;
  const size_t zeros_at = scratch.add<float>(C);
  // One panel more: the last product asks for what would come next.
  const size_t u_at = scratch.add<float>((panels + 1) * POSITIONS * C * PANEL);
  const size_t v_at = scratch.add<float>(threads * (POSITIONS * v_stride + SKEW));
  const size_t m_at = scratch.add<float>(threads * (POSITIONS * m_stride + SKEW));
  const size_t scale_at = scratch.add<float>(s.K);
  if (!scratch.allocate()) return 2;
  const AppliedEpilogue finish(epilogue, y, s.K, scratch.at<float>(scale_at));
  float *zeros = scratch.at<float>(zeros_at), *u = scratch.at<float>(u_at);
  std::fill(zeros, zeros + C, 0.0f);

  const ptrdiff_t vectors = ceil_div(s.K, LANES), slices = ceil_div(C, 16);
  std::atomic<ptrdiff_t> next_kernel{0};
  parallel(threads, [&](int) {
    for (ptrdiff_t i; (i = next_kernel.fetch_add(1)) < vectors * slices;) {
      const ptrdiff_t vector = i / slices, c = i % slices * 16, panel = vector / COLUMNS;
      const ptrdiff_t columns = std::min<ptrdiff_t>(COLUMNS, vectors - panel * COLUMNS);
      const int count = static_cast<int>(std::min<ptrdiff_t>(16, C - c));
      const int real = static_cast<int>(std::clamp<ptrdiff_t>(s.C - c, 0, count));
      const int n = static_cast<int>(std::min<ptrdiff_t>(LANES, s.K - vector * LANES));
      const ptrdiff_t row = columns * LANES, stride = C * row;
      float* out = u + panel * POSITIONS * C * PANEL + c * row + vector % COLUMNS * LANES;
      transform_kernels<M>(w, at, vector * LANES, n, c, real, out, row, stride);
      for (int p = 0; p < POSITIONS; ++p)
        for (int e = real; e < count; ++e) store(out + p * stride + e * row, vec{});
    }
  });

  std::atomic<ptrdiff_t> next_block{0};
  parallel(threads, [&](int part) {
    float* v = scratch.at<float>(v_at) + part * (POSITIONS * v_stride + SKEW);
    float* m = scratch.at<float>(m_at) + part * (POSITIONS * m_stride + SKEW);
    for (ptrdiff_t b; (b = next_block.fetch_add(1)) < blocks;) {
      const ptrdiff_t first = b * block;
      const int tiles = static_cast<int>(std::min<ptrdiff_t>(block, tiling.count - first));
      transform_images<M>(tiling, x, zeros, first, tiles, v, block * LANES, v_stride);
      for (ptrdiff_t panel = 0; panel < panels; ++panel) {
        const int columns = static_cast<int>(std::min<ptrdiff_t>(COLUMNS, vectors - panel * COLUMNS));
        const ptrdiff_t row = columns * LANES;
        const float* kernels = u + panel * POSITIONS * C * PANEL;
        for (int p = 0; p < POSITIONS; ++p) {
          const float *from = v + p * v_stride, *kernel = kernels + p * C * row;
          if (columns == COLUMNS)
            product<COLUMNS>(tiles, from, block * LANES, kernel, C, m + p * m_stride, row,
                             kernel + C * row);
          else
            product<1>(tiles, from, block * LANES, kernel, C, m + p * m_stride, row,
                       kernel + C * row);
        }
        transform_outputs<M>(tiling, m, m_stride, columns, bias, panel * PANEL, first, tiles, y,
                             finish);
      }
    }
  });
  return 0;
}

// A dy A^T for one tile and one vector of channels; adds the tile's sum to `total`.
template <int M, bool TAIL>
STRIATE_INLINE void gradient_tile(const float* const* pixels, const float* const* coming,
                                  ptrdiff_t k, int n, float* out, ptrdiff_t stride,
                                  float* total) {
  constexpr int SIDE = M + 2;
  vec half[SIDE * M], sum{};
#pragma GCC unroll 4
  for (int j = 0; j < M; ++j) {
    vec y[M];
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) {
      const float* p = pixels[i * M + j] + k;
      y[i] = TAIL ? load_n(p, n) : load(p);
      prefetch_near(coming[i * M + j] + k);
      sum += y[i];
    }
    Winograd<M>::gradient(y, 1, half + j, M);
  }
  if (total) store(total, load(total) + sum);
#pragma GCC unroll 6
  for (int i = 0; i < SIDE; ++i) {
    vec o[SIDE];
    Winograd<M>::gradient(half + i * M, 1, o, 1);
#pragma GCC unroll 6
    for (int j = 0; j < SIDE; ++j) store(out + (i * SIDE + j) * stride, o[j]);
  }
}

// The transforms of the gradients of tiles: out[position][panel][tile][column of the panel].
template <int M>
void transform_gradients(const Tiling<M>& tiling, const float* gy, const float* zeros,
                         ptrdiff_t first, int tiles, float* out, int block, ptrdiff_t stride,
                         float* totals) {
  const Shape& s = tiling.shape;
  const ptrdiff_t H = s.out_h(), W = s.out_w(), vectors = ceil_div(s.K, LANES);
  const float* pixels[2][M * M];
  const auto find = [&](ptrdiff_t tile) {
    const auto at = tiling.place(std::min(tile, tiling.count - 1));
    tiling.template pixels<M>(gy + at.image * H * W * s.K, H, W, s.K, at.row, at.column, zeros,
                              pixels[tile % 2]);
  };
  find(first);
  for (ptrdiff_t t = 0; t < tiles; ++t) {
    find(first + t + 1);
    const float* const *now = pixels[(first + t) % 2], *const *coming = pixels[(first + t + 1) % 2];
    for (ptrdiff_t vector = 0; vector < vectors; ++vector) {
      const ptrdiff_t k = vector * LANES, panel = vector / COLUMNS;
      const ptrdiff_t columns = std::min<ptrdiff_t>(COLUMNS, vectors - panel * COLUMNS);
      float* to = out + panel * block * PANEL + (t * columns + vector % COLUMNS) * LANES;
      float* total = totals ? totals + k : nullptr;
      if (k + LANES <= s.K)
        gradient_tile<M, false>(now, coming, k, LANES, to, stride, total);
      else
        gradient_tile<M, true>(now, coming, k, static_cast<int>(s.K - k), to, stride, total);
    }
  }
}

template <int COLS>
void outer_panel(const float* a, ptrdiff_t a_panel, ptrdiff_t C, const float* b, int depth,
                 float* sums, bool add) {
  for (ptrdiff_t c = 0; c < C; c += LANES, a += a_panel)
    for (int m = 0; m < LANES; m += OUTER_ROWS, sums += OUTER_ROWS * COLS * LANES) {
      if (add)
        outer_tile<COLS, true>(a + m, b, depth, sums);
      else
        outer_tile<COLS, false>(a + m, b, depth, sums);
    }
}

// How many tiles one update of the sums runs over: the more, the less often the sums, which are
// megabytes for many channels, pass through the caches; the fewer, the nearer the transforms stay.
int weight_block(ptrdiff_t tiles, ptrdiff_t floats_of_tile, int threads) {
  const ptrdiff_t room = static_cast<ptrdiff_t>(3 * l2_bytes() / sizeof(float));
  const ptrdiff_t most = std::clamp<ptrdiff_t>(room / floats_of_tile, 48, 96);
  const ptrdiff_t share = ceil_div(tiles, threads);
  return static_cast<int>(ceil_div(share, ceil_div(share, most)));
}

// G^T (sum of the parts' sums) G for one input channel and a vector of output channels.
template <int M>
STRIATE_INLINE void finish_kernel(const float* sums, ptrdiff_t stride, ptrdiff_t part, int parts,
                                  float* gw, const Strides& at, int n) {
  constexpr int SIDE = M + 2;
  vec u[SIDE * SIDE], half[3 * SIDE], g[9];
  for (int p = 0; p < SIDE * SIDE; ++p) {
    u[p] = load(sums + p * stride);
    for (int i = 1; i < parts; ++i) u[p] += load(sums + i * part + p * stride);
  }
  for (int j = 0; j < SIDE; ++j) Winograd<M>::kernel_gradient(u + j, SIDE, half + j, SIDE);
  for (int r = 0; r < 3; ++r) Winograd<M>::kernel_gradient(half + r * SIDE, 1, g + r * 3, 1);
  for (int e = 0; e < 9; ++e) {
    float lanes[LANES];
    store(lanes, g[e]);
    float* to = gw + e / 3 * at.r + e % 3 * at.s;
    for (int lane = 0; lane < n; ++lane) to[lane * at.k] = lanes[lane];
  }
}

template <int M>
int weight(const Shape& s, const float* x, const float* gy, float* gw, const Strides& at,
           float* gb, int threads) {
  constexpr int POSITIONS = Tiling<M>::POSITIONS;
  const Tiling<M> tiling(s);
  const ptrdiff_t C = round_up(s.C, LANES), K = round_up(s.K, LANES);
  const ptrdiff_t vectors = K / LANES, panels = ceil_div(s.K, PANEL);
  const int parts = static_cast<int>(std::min<ptrdiff_t>(threads, tiling.count));
  const int block = weight_block(tiling.count, POSITIONS * (C + K), parts);
  const ptrdiff_t v_stride = C * block + SKEW, g_stride = K * block + SKEW;
  const ptrdiff_t d_stride = C * K + SKEW, d_part = POSITIONS * d_stride;

  Scratch scratch;
  const size_t zeros_at = scratch.add<float>(std::max(C, K));
  const size_t v_at = scratch.add<float>(parts * (POSITIONS * v_stride + SKEW));
  const size_t g_at = scratch.add<float>(parts * (POSITIONS * g_stride + SKEW));
  const size_t d_at = scratch.add<float>(parts * d_part);
  const size_t b_at = scratch.add<float>(parts * 2 * K);
  if (!scratch.allocate()) return 2;
  float *zeros = scratch.at<float>(zeros_at), *d = scratch.at<float>(d_at);
  float* totals = scratch.at<float>(b_at);
  std::fill(zeros, zeros + std::max(C, K), 0.0f);

  parallel(parts, [&](int part) {
    float* v = scratch.at<float>(v_at) + part * (POSITIONS * v_stride + SKEW);
    float* g = scratch.at<float>(g_at) + part * (POSITIONS * g_stride + SKEW);
    float *sums = d + part * d_part, *total = totals + part * 2 * K, *of_block = total + K;
    std::fill(total, total + K, 0.0f);
    const Range mine = piece(tiling.count, parts, part);
    for (ptrdiff_t first = mine.begin; first < mine.end; first += block) {
      const int tiles = static_cast<int>(std::min<ptrdiff_t>(block, mine.end - first));
      if (gb) std::fill(of_block, of_block + K, 0.0f);
      transform_images<M>(tiling, x, zeros, first, tiles, v, block * LANES, v_stride);
      transform_gradients<M>(tiling, gy, zeros, first, tiles, g, block, g_stride,
                             gb ? of_block : nullptr);
      for (int p = 0; p < POSITIONS; ++p)
        for (ptrdiff_t panel = 0; panel < panels; ++panel) {
          const float* from = g + p * g_stride + panel * block * PANEL;
          float* to = sums + p * d_stride + panel * C * PANEL;
          const float* image = v + p * v_stride;
          const bool add = first != mine.begin;
          if (vectors - panel * COLUMNS >= COLUMNS)
            outer_panel<COLUMNS>(image, block * LANES, C, from, tiles, to, add);
          else
            outer_panel<1>(image, block * LANES, C, from, tiles, to, add);
        }
      // Sums of sums: a long row of images does not drown its last ones.
      if (gb)
        for (ptrdiff_t k = 0; k < K; ++k) total[k] += of_block[k];
    }
  });

  parallel(threads, [&](int part) {
    const Range mine = piece(s.C, threads, part);
    for (ptrdiff_t vector = 0; vector < vectors; ++vector) {
      const ptrdiff_t panel = vector / COLUMNS;
      const ptrdiff_t row = std::min<ptrdiff_t>(COLUMNS, vectors - panel * COLUMNS) * LANES;
      const int n = static_cast<int>(std::min<ptrdiff_t>(LANES, s.K - vector * LANES));
      const float* sums = d + panel * C * PANEL + vector % COLUMNS * LANES;
      for (ptrdiff_t c = mine.begin; c < mine.end; ++c)
        finish_kernel<M>(sums + c * row, d_stride, d_part, parts,
                         gw + vector * LANES * at.k + c * at.c, at, n);
    }
  });
  if (gb)
    for (ptrdiff_t k = 0; k < s.K; ++k) {
      gb[k] = totals[k];
      for (int part = 1; part < parts; ++part) gb[k] += totals[part * 2 * K + k];
    }
  return 0;
}

}  // namespace
}  // namespace striate

extern "C" {

// y = conv(x, w) + bias. x: [B][H][W][C], y: [B][H'][W'][K]; w by its strides in floats, which may be
// negative; bias and epilogue may be null. tile: 2 or 4, of F(tile x tile, 3 x 3).
int striate_winograd_forward(int tile, const float* x, const float* w, const float* bias, float* y,
                             const striate::Epilogue* epilogue, int64_t B, int64_t H, int64_t W,
                             int64_t C, int64_t K, int64_t pad_h, int64_t pad_w, int64_t w_k, int64_t w_c, int64_t w_r, int64_t w_s,
                             int threads) {
  using namespace striate;
  const Shape shape{B, H, W, C, K, pad_h, pad_w};
  if (!x || !w || !y || !shape.possible() || threads < 1) return 1;
  if (epilogue && !epilogue->possible()) return 1;
  const Strides strides{w_k, w_c, w_r, w_s};
  if (tile == 2) return forward<2>(shape, x, w, strides, bias, epilogue, y, threads);
  if (tile == 4) return forward<4>(shape, x, w, strides, bias, epilogue, y, threads);
  return 1;
}

// gw = the gradient of the kernel for the output's gradient gy: [B][H'][W'][K]; gb: that of the
// bias, or null. The same number of threads gives the same bits.
int striate_winograd_weight(int tile, const float* x, const float* gy, float* gw, float* gb,
                            int64_t B, int64_t H, int64_t W, int64_t C, int64_t K, int64_t pad_h,
                            int64_t pad_w, int64_t w_k, int64_t w_c, int64_t w_r, int64_t w_s,
                            int threads) {
  using namespace striate;
  const Shape shape{B, H, W, C, K, pad_h, pad_w};
  if (!x || !gy || !gw || !shape.possible() || threads < 1) return 1;
  const Strides strides{w_k, w_c, w_r, w_s};
  if (tile == 2) return weight<2>(shape, x, gy, gw, strides, gb, threads);
  if (tile == 4) return weight<4>(shape, x, gy, gw, strides, gb, threads);
  return 1;
}

}  // extern "C"
