// From stored bytes to a batch of floats in one pass: each image of the batch takes whole pixels
// of one stored image by its own lists of rows and columns, and each byte becomes the float that a
// table of its channel holds.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "parallel.hpp"

namespace striate {
namespace {

struct Gather {
  const uint8_t* images;
  int64_t num, H, W, C;
  const int64_t* index;
  const int32_t *rows, *columns;
  int64_t out_h, out_w;
  const float* table;
};

bool within(const int32_t* places, int64_t count, int64_t size) {
  for (int64_t i = 0; i < count; ++i)
    if (places[i] < 0 || places[i] >= size) return false;
  return true;
}

template <int CHANNELS>
void one_row(const Gather& g, const uint8_t* row, const int32_t* columns, float* y) {
  const int64_t C = CHANNELS ? CHANNELS : g.C;
  for (int64_t w = 0; w < g.out_w; ++w) {
    const uint8_t* pixel = row + columns[w] * C;
    for (int64_t c = 0; c < C; ++c) y[w * C + c] = g.table[c * 256 + pixel[c]];
  }
}

bool one_image(const Gather& g, int64_t b, float* y) {
  const int32_t *rows = g.rows + b * g.out_h, *columns = g.columns + b * g.out_w;
  const int64_t item = g.index[b];
  if (item < 0 || item >= g.num) return false;
  if (!within(rows, g.out_h, g.H) || !within(columns, g.out_w, g.W)) return false;
  const uint8_t* image = g.images + item * g.H * g.W * g.C;
  for (int64_t h = 0; h < g.out_h; ++h, y += g.out_w * g.C) {
    const uint8_t* row = image + rows[h] * g.W * g.C;
    if (g.C == 3) one_row<3>(g, row, columns, y);
    else if (g.C == 1) one_row<1>(g, row, columns, y);
    else one_row<0>(g, row, columns, y);
  }
  return true;
}

}  // namespace
}  // namespace striate

using namespace striate;

// images (num, H, W, C); rows (B, out_h) and columns (B, out_w) of each image of the batch;
// table (C, 256); y (B, out_h, out_w, C). 1: an item, row or column that does not exist.
extern "C" int striate_batch_gather(const uint8_t* images, const int64_t* index,
                                    const int32_t* rows, const int32_t* columns,
                                    const float* table, float* y, int64_t num, int64_t H,
                                    int64_t W, int64_t C, int64_t B, int64_t out_h, int64_t out_w,
                                    int threads) {
  if (num < 0 || H < 0 || W < 0 || C < 0 || B < 0 || out_h < 0 || out_w < 0 || threads < 1)
    return 1;
  const int64_t size = out_h * out_w * C;
  if (B == 0 || size == 0) return 0;
  if (!images || !index || !rows || !columns || !table || !y) return 1;
  const Gather g{images, num, H, W, C, index, rows, columns, out_h, out_w, table};
  const int parts = static_cast<int>(std::min<int64_t>(B, 32));
  int refused[32] = {};
  parallel(parts, threads, [&](int part) {
    const Range range = piece(B, parts, part);
    for (int64_t b = range.begin; b < range.end; ++b)
      if (!one_image(g, b, y + b * size)) refused[part] = 1;
  });
  return std::count(refused, refused + parts, 1) ? 1 : 0;
}
