// What a filter sees at each of its positions, as rows of a matrix that is never whole in memory.
#pragma once

#include <algorithm>
#include <cstring>

#include "rounding.hpp"
#include "vec.hpp"

namespace striate {

// A batch of images, channels last.
struct Images {
  const float* data;
  const float* end;  // nothing is read here or later
  long count, height, width;
  long pixel;  // floats from a pixel to the next
};

// A stretch of memory that a filter sees: `pixels` neighbours in a row, `length` floats.
struct Segment {
  long dy, dx;   // from where the filter stands to the first pixel
  long pixels;   // more than one only where the pixels' floats touch
  long channel;  // first channel
  long length;
  long column;  // where it begins in the matrix's row
  long tap;     // which of the filter's places the first pixel is for
};

// The filter's positions: (i, j) of each image stands at its pixel (i * step_y, j * step_x).
struct Positions {
  long height, width, step_y, step_x;
};

template <int VECS>
void copy_vectors(const float* from, long from_row, float* to, long to_row, long rows) {
  for (; rows > 0; --rows, from += from_row, to += to_row)
    for (int v = 0; v < VECS; ++v) store(to + v * LANES, load(from + v * LANES));
}

// Copies rows of `length` floats in whole vectors: a row of `to` has room for the last one. Reads
// nothing at or past `end`.
inline void copy_rows(const float* from, long from_row, float* to, long to_row, long rows,
                      long length, const float* end) {
  const long whole = round_up(length, LANES);
  if (rows <= 0) return;
  if (end - from < (rows - 1) * from_row + whole) {
    for (; rows > 0; --rows, from += from_row, to += to_row)
      std::memcpy(to, from, length * sizeof(float));
    return;
  }
  switch (whole / LANES) {
    case 1:
      return copy_vectors<1>(from, from_row, to, to_row, rows);
    case 2:
      return copy_vectors<2>(from, from_row, to, to_row, rows);
    case 3:
      return copy_vectors<3>(from, from_row, to, to_row, rows);
    case 4:
      return copy_vectors<4>(from, from_row, to, to_row, rows);
  }
  for (; rows > 0; --rows, from += from_row, to += to_row)
    for (long k = 0; k < whole; k += LANES) store(to + k, load(from + k));
}

inline void zero_rows(float* to, long to_row, long rows, long length) {
  for (; rows > 0; --rows, to += to_row)
    for (long k = 0; k < length; k += LANES) store(to + k, vec{});
}

// A segment at a position where the image's edge may cut it; `x` is the first pixel's column.
inline void gather_clipped(const Images& images, const Segment& s, const float* row, long x,
                           float* to) {
  const long first = std::max(-x, 0L), last = std::min(s.pixels, images.width - x);
  zero_rows(to, 0, 1, s.length);
  if (first >= last) return;
  const long length = s.pixels == 1 ? s.length : (last - first) * images.pixel;
  std::memcpy(to + first * images.pixel, row + (x + first) * images.pixel + s.channel,
              length * sizeof(float));
}

// One segment for `count` positions from (i, j) on, all in one row of positions.
inline void gather_segment(const Images& images, const Positions& at, const Segment& s, long image,
                           long i, long j, long count, float* to, long to_row) {
  const long y = i * at.step_y + s.dy;
  if (y < 0 || y >= images.height) return zero_rows(to, to_row, count, s.length);
  const float* row = images.data + (image * images.height + y) * images.width * images.pixel;
  // No edge cuts the segment at positions left .. right - 1.
  const long last = j + count;
  const long left = std::clamp(divide_up(-s.dx, at.step_x), j, last);
  const long fits = divide_up(images.width - s.pixels - s.dx + 1, at.step_x);
  const long right = std::clamp(fits, left, last);
  for (long p = j; p < left; ++p)
    gather_clipped(images, s, row, p * at.step_x + s.dx, to + (p - j) * to_row);
  copy_rows(row + (left * at.step_x + s.dx) * images.pixel + s.channel, at.step_x * images.pixel,
            to + (left - j) * to_row, to_row, right - left, s.length, images.end);
  for (long p = right; p < last; ++p)
    gather_clipped(images, s, row, p * at.step_x + s.dx, to + (p - j) * to_row);
}

// Rows begin .. end - 1 of the matrix, the columns of the segments first .. last - 1, which stand in
// order. A row of `to` has room for the columns and a vector more.
inline void gather(const Images& images, const Positions& at, const Segment* first,
                   const Segment* last, long begin, long end, float* to, long to_row) {
  while (begin < end) {
    const long j = begin % at.width, line = begin / at.width;
    const long count = std::min(end - begin, at.width - j);
    for (const Segment* s = first; s < last; ++s)
      gather_segment(images, at, *s, line / at.height, line % at.height, j, count,
                     to + s->column - first->column, to_row);
    to += count * to_row;
    begin += count;
  }
}

}  // namespace striate
