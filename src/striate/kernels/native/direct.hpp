// Convolution as products with a matrix whose rows are gathered tile by tile: what the forward,
// data and weight directions share.
#pragma once

#include <cstdint>

#include "gather.hpp"
#include "strided.hpp"

namespace striate {

// The most columns that are multiplied at one time: a tile of rows and a panel of weights for them
// stay in L2.
constexpr long MOST_DEPTH = 384;

// What a caller says of a convolution; the last four are the weight's strides in floats.
struct Convolution {
  long images, height, width, inputs, outputs;
  long kernel_y, kernel_x, step_y, step_x, pad_y, pad_x, dilation_y, dilation_x, groups;
  long by_output, by_input, by_row, by_column;
  long out_height, out_width;

  // From an array of numbers in the order above, without the output's sizes; false where there is no
  // such convolution.
  bool read(const int64_t* numbers);

  long taps() const { return kernel_y * kernel_x; }
  long group_inputs() const { return inputs / groups; }
  long group_outputs() const { return outputs / groups; }
  long out_pixels() const { return images * out_height * out_width; }
};

// One place of the filter: where it looks from its position, and where its weights begin.
struct Tap {
  long dy, dx, weight;
};

// Columns of the segments first .. last - 1, multiplied at one time.
struct Block {
  const Segment* first;
  const Segment* last;
  long column, columns;
};

// Into how many segments the channels of one tap may be cut.
constexpr long pieces_of(long channels) { return divide_up(channels, MOST_DEPTH); }

// The filter's taps in the forward direction, rows first.
void forward_taps(const Convolution& g, Tap* to);

// Merges taps whose pixels touch in memory, if `touching`, into segments of up to MOST_DEPTH floats
// of `channels` for each pixel, and cuts longer ones. Returns how many there are, at most
// count * pieces_of(channels).
long make_segments(const Tap* taps, long count, long channels, bool touching, Segment* to);

// Joins segments to blocks of up to MOST_DEPTH columns; returns how many there are.
long make_blocks(const Segment* segments, long count, Block* to);

}  // namespace striate
