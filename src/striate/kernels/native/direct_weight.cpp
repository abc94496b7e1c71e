// Convolution backward to its weight and bias: sums over the pixels, a tile of gathered rows at a
// time. Each thread sums its own pixels; the threads' sums are added in their order.
#include "direct.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

namespace striate {
namespace {

constexpr long ROWS_AT_ONCE = 128;    // pixels
constexpr long MOST_SUMS = 16 << 20;  // floats that all threads' sums may take

struct WeightJob {
  Convolution g;
  Images source;
  Positions at;
  const float* gy;
  Tap* taps;
  Segment* segments;
  Block* blocks;
  long num_blocks;
  float* sums;       // [share of the pixels][output][column]
  float* bias_sums;  // [share of the pixels][output]; null: not wanted
  // Threads share the pixels by_pixels ways and the blocks by_blocks ways.
  long by_pixels, by_blocks;

  long sums_row() const {
    return g.taps() * (g.group_inputs() + pieces_of(g.group_inputs()) * LANES) + LANES;
  }
  long sums_size() const { return g.outputs * sums_row(); }
  long bias_row() const { return round_up(g.outputs, LANES); }
};

// Where a block's columns begin among the sums: at whole vectors.
long sums_column(const WeightJob& job, long block) {
  long column = 0;
  for (long b = 0; b < block; ++b) column += round_up(job.blocks[b].columns, LANES);
  return column;
}

// Whether the matrix's rows lie in the source as they are. Rows a large power of two apart are
// copied all the same: they would fall into the same few sets of the cache.
bool is_plain(const WeightJob& job, const Block& block) {
  const Convolution& g = job.g;
  return g.taps() == 1 && g.pad_y == 0 && g.pad_x == 0 && g.step_y == 1 && g.step_x == 1 &&
         block.columns % LANES == 0 && g.inputs % 256 != 0;
}

// sums[output][column] += products over the pixels begin .. end - 1 for one block's columns.
void sum_block(const WeightJob& job, long block, long group, long begin, long end, bool first,
               float* space, float* sums) {
  static const float zeros[PANEL_VECS * LANES] = {};
  const Convolution& g = job.g;
  const Block& columns = job.blocks[block];
  const float* b = space;
  // Room for what gathering writes too much; an odd number of vectors spreads over the cache's sets.
  long b_row = round_up(columns.columns, LANES) + LANES;
  b_row += b_row / LANES % 2 ? 0 : LANES;
  Images source = job.source;
  source.data += group * g.group_inputs();
  if (is_plain(job, columns)) {
    b = source.data + begin * g.inputs + columns.first->channel;
    b_row = g.inputs;
  } else {
    gather(source, job.at, columns.first, columns.last, begin, end, space, b_row);
  }
  const float* gy = job.gy + begin * g.outputs + group * g.group_outputs();
  const Panels panels(columns.columns);
  const long all = g.out_pixels() * g.outputs;
  Ahead ahead = {gy + (end - begin) * g.outputs,
                 job.gy + std::min(all, (2 * end - begin) * g.outputs)};
  for (long p = 0; p < panels.count; ++p) {
    const long lane = panels.begin(p);
    const Strided product = {gy, 1, g.outputs, b + lane, b_row, end - begin, sums + lane,
                             job.sums_row(), first ? zeros : nullptr, (int)panels.width(p)};
    multiply(product, g.group_outputs(), ahead);
  }
}

// sums[column] += the columns' sums over `rows` rows.
void add_rows(const float* from, long rows, long columns, float* sums) {
  for (long c = 0; c < columns; c += LANES) {
    const int lanes = (int)std::min<long>(LANES, columns - c);
    vec sum = {};
    if (lanes == LANES)
      for (long m = 0; m < rows; ++m) sum += load(from + m * columns + c);
    else
      for (long m = 0; m < rows; ++m) sum += load_n(from + m * columns + c, lanes);
    store(sums + c, load(sums + c) + sum);
  }
}

void sum_part(const WeightJob& job, int part, float* space) {
  const Convolution& g = job.g;
  const long pixels = part / job.by_blocks, share = part % job.by_blocks;
  const Range rows = piece(g.out_pixels(), (int)job.by_pixels, (int)pixels);
  const Range units = piece(g.groups * job.num_blocks, (int)job.by_blocks, (int)share);
  float* sums = job.sums + pixels * job.sums_size();
  float* bias = job.bias_sums ? job.bias_sums + pixels * job.bias_row() : nullptr;
  if (bias && share == 0) std::fill_n(bias, job.bias_row(), 0.0f);
  for (long unit = units.begin; unit < units.end; ++unit) {
    const long group = unit / job.num_blocks, block = unit % job.num_blocks;
    float* mine =
        sums + group * g.group_outputs() * job.sums_row() + sums_column(job, block);
    for (long m = rows.begin; m < rows.end; m += ROWS_AT_ONCE) {
      const long end = std::min(m + ROWS_AT_ONCE, rows.end);
      sum_block(job, block, group, m, end, m == rows.begin, space, mine);
      if (bias && unit == 0) add_rows(job.gy + m * g.outputs, end - m, g.outputs, bias);
    }
  }
}

// One output's gradient: its sums of all shares.
void write_output(const WeightJob& job, long output, float* to) {
  const long channels = job.g.group_inputs();
  for (long b = 0; b < job.num_blocks; ++b) {
    const Block& block = job.blocks[b];
    const float* from = job.sums + output * job.sums_row() + sums_column(job, b);
    for (const Segment* s = block.first; s < block.last; ++s)
      for (long k = 0; k < s->length; ++k) {
        const float* sum = from + s->column - block.column + k;
        const long c = s->channel + k;
        float total = *sum;
        for (long other = 1; other < job.by_pixels; ++other)
          total += sum[other * job.sums_size()];
        to[job.taps[s->tap + c / channels].weight + c % channels * job.g.by_input] = total;
      }
  }
}

void write_outputs(const WeightJob& job, float* gw, float* gb, int threads) {
  parallel(threads, [&](int part) {
    const Range mine = piece(job.g.outputs, threads, part);
    for (long k = mine.begin; k < mine.end; ++k) {
      write_output(job, k, gw + k * job.g.by_output);
      if (!gb) continue;
      gb[k] = job.bias_sums[k];
      for (long other = 1; other < job.by_pixels; ++other)
        gb[k] += job.bias_sums[other * job.bias_row() + k];
    }
  });
}

// No thread for less than a few hundred pixels, and no more sums than memory can well hold: threads
// that are left over share the columns.
void share_out(WeightJob& job, int threads) {
  job.by_pixels = std::clamp(job.g.out_pixels() / (2 * ROWS_AT_ONCE), 1L, (long)threads);
  job.by_pixels = std::min(job.by_pixels, std::max(1L, MOST_SUMS / job.sums_size()));
  job.by_blocks = std::clamp(threads / job.by_pixels, 1L, job.g.groups * job.num_blocks);
}

}  // namespace
}  // namespace striate

// The gradients of the weight, written at the weight's strides, and of the bias where gb is not null.
extern "C" int striate_direct_weight(const float* x, const float* gy, float* gw, float* gb,
                                     const int64_t* numbers, int threads) {
  using namespace striate;
  WeightJob job = {};
  Convolution& g = job.g;
  if (!g.read(numbers) || threads < 1) return 1;
  const long pieces = g.taps() * pieces_of(g.group_inputs());
  const long space = ROWS_AT_ONCE * (MOST_DEPTH + 3 * LANES);
  // Sizes need the blocks, which need room: the bound of by_pixels is enough for that.
  const long most = std::min<long>(threads, std::max(1L, MOST_SUMS / job.sums_size()));
  Scratch scratch;
  const size_t taps = scratch.add<Tap>(g.taps()), segments = scratch.add<Segment>(pieces);
  const size_t blocks = scratch.add<Block>(pieces);
  const size_t sums = scratch.add<float>(most * job.sums_size());
  const size_t bias_sums = scratch.add<float>(most * job.bias_row());
  const size_t spaces = scratch.add<float>(threads * space);
  if (!scratch.allocate()) return 2;
  job.source = {x, x + g.images * g.height * g.width * g.inputs, g.images, g.height, g.width,
                g.inputs};
  job.at = {g.out_height, g.out_width, g.step_y, g.step_x};
  job.gy = gy;
  job.taps = scratch.at<Tap>(taps);
  job.segments = scratch.at<Segment>(segments);
  job.blocks = scratch.at<Block>(blocks);
  job.sums = scratch.at<float>(sums);
  if (gb) job.bias_sums = scratch.at<float>(bias_sums);
  forward_taps(g, job.taps);
  const long count =
      make_segments(job.taps, g.taps(), g.group_inputs(), g.groups == 1, job.segments);
  job.num_blocks = make_blocks(job.segments, count, job.blocks);
  share_out(job, threads);
  if (g.out_pixels() == 0) std::fill_n(job.sums, job.by_pixels * job.sums_size(), 0.0f);
  parallel((int)(job.by_pixels * job.by_blocks), threads, [&](int part) {
    sum_part(job, part, scratch.at<float>(spaces) + part * space);
  });
  write_outputs(job, gw, gb, threads);
  return 0;
}
