#include "direct.hpp"

#include <algorithm>

namespace striate {

bool Convolution::read(const int64_t* numbers) {
  long* fields[] = {&images,     &height,     &width,     &inputs,   &outputs, &kernel_y,
                    &kernel_x,   &step_y,     &step_x,    &pad_y,    &pad_x,   &dilation_y,
                    &dilation_x, &groups,     &by_output, &by_input, &by_row,  &by_column};
  for (long* field : fields) *field = *numbers++;
  if (std::min({images, height, width, pad_y, pad_x}) < 0) return false;
  if (std::min({inputs, outputs, kernel_y, kernel_x, groups}) < 1) return false;
  if (std::min({step_y, step_x, dilation_y, dilation_x}) < 1) return false;
  if (inputs % groups || outputs % groups) return false;
  const long room_y = height + 2 * pad_y - dilation_y * (kernel_y - 1) - 1;
  const long room_x = width + 2 * pad_x - dilation_x * (kernel_x - 1) - 1;
  if (room_y < 0 || room_x < 0) return false;
  out_height = room_y / step_y + 1;
  out_width = room_x / step_x + 1;
  return true;
}

void forward_taps(const Convolution& g, Tap* to) {
  for (long r = 0; r < g.kernel_y; ++r)
    for (long q = 0; q < g.kernel_x; ++q)
      *to++ = {r * g.dilation_y - g.pad_y, q * g.dilation_x - g.pad_x,
               r * g.by_row + q * g.by_column};
}

long make_segments(const Tap* taps, long count, long channels, bool touching, Segment* to) {
  long made = 0, column = 0;
  for (long t = 0; t < count;) {
    long run = 1;
    while (touching && t + run < count && taps[t + run].dy == taps[t].dy &&
           taps[t + run].dx == taps[t].dx + run)
      ++run;
    // Equal cuts: either several pixels in each, or pieces of one pixel's channels.
    const long cuts = divide_up(run, std::max(1L, MOST_DEPTH / channels));
    for (long cut = 0; cut < cuts; ++cut) {
      const long first = run * cut / cuts, pixels = run * (cut + 1) / cuts - first;
      const long floats = pixels * channels;
      const long share = round_up(divide_up(floats, pieces_of(floats)), LANES);
      for (long c = 0; c < floats; c += share) {
        const long length = std::min(share, floats - c);
        to[made++] = {taps[t].dy, taps[t].dx + first, pixels, c, length, column, t + first};
        column += length;
      }
    }
    t += run;
  }
  return made;
}

long make_blocks(const Segment* segments, long count, Block* to) {
  long made = 0;
  for (const Segment* s = segments; s < segments + count; ++s) {
    if (made == 0 || to[made - 1].columns + s->length > MOST_DEPTH)
      to[made++] = {s, s, s->column, 0};
    to[made - 1].last = s + 1;
    to[made - 1].columns += s->length;
  }
  return made;
}

}  // namespace striate
