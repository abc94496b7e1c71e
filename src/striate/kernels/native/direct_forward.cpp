// Convolution forward, and backward to its data: each pixel of the input gathers from the outputs
// that saw it, which for each phase of the stride is again a convolution, of the output's gradient.
#include "direct.hpp"
#include "epilogue.hpp"
#include "parallel.hpp"
#include "scratch.hpp"

namespace striate {
namespace {

constexpr long ROWS_AT_ONCE = 96;

// A convolution over a grid of positions, each of which gives a pixel of the target: (i, j) gives
// the pixel (i * by_y + from_y, j * by_x + from_x).
struct Pass {
  Positions at;
  long by_y, by_x, from_y, from_x;
  const Tap* taps;
  long num_taps;
  Block* blocks;
  long num_blocks;
  float* weights;  // packed: [group][block][panel][column][lane]
};

struct Job {
  Images source;
  float* target;
  long height, width, pixel;    // of the target
  long groups, channels, lanes;  // of one group: the source's, the target's
  const float* weight;
  long by_channel, by_lane, by_group;  // floats between weights
  const float* bias;                   // [group][lane], whole vectors
  const AppliedEpilogue* finish;
  Pass* passes;
  long num_passes;
  int threads;

  Panels panels() const { return Panels(lanes); }
  long rows(const Pass& p) const { return source.count * p.at.height * p.at.width; }
  bool is_linear() const { return passes->by_y == 1 && passes->by_x == 1; }
  float* pixel_of(const Pass& p, long row) const {
    const long j = row % p.at.width, line = row / p.at.width;
    const long y = line % p.at.height * p.by_y + p.from_y, x = j * p.by_x + p.from_x;
    return target + ((line / p.at.height * height + y) * width + x) * pixel;
  }
};

// to[channel][lane] for `count` channels of one tap: `width` lanes, of which `there` exist.
void pack_tap(const Job& job, const float* from, long count, long there, long width, float* to) {
  if (job.by_lane == 1) {
    for (long c = 0; c < count; ++c)
      std::memcpy(to + c * width, from + c * job.by_channel, there * sizeof(float));
  } else {
    // A few lanes at a time: each is a stream of its own.
    for (long first = 0; first < there; first += 8) {
      const long last = std::min(first + 8, there);
      for (long c = 0; c < count; ++c)
        for (long l = first; l < last; ++l)
          to[c * width + l] = from[c * job.by_channel + l * job.by_lane];
    }
  }
  for (long c = 0; c < count && there < width; ++c)
    std::fill(to + c * width + there, to + (c + 1) * width, 0.0f);
}

void pack_block(const Job& job, const Pass& pass, const Block& block, long group, long panel,
                float* to) {
  const long lane = job.panels().begin(panel), width = job.panels().width(panel);
  const long there = std::min(width, job.lanes - lane);
  for (const Segment* s = block.first; s < block.last; ++s)
    for (long k = 0; k < s->length;) {
      const long tap = s->tap + (s->channel + k) / job.channels;
      const long channel = (s->channel + k) % job.channels;
      const long count = std::min(s->length - k, job.channels - channel);
      const float* from = job.weight + pass.taps[tap].weight + group * job.by_group +
                          channel * job.by_channel + lane * job.by_lane;
      pack_tap(job, from, count, there, width, to);
      to += count * width;
      k += count;
    }
}

void pack_weights(const Job& job) {
  const Panels panels = job.panels();
  long units = 0;
  for (const Pass* p = job.passes; p < job.passes + job.num_passes; ++p)
    units += job.groups * p->num_blocks * panels.count;
  parallel(job.threads, [&](int part) {
    const Range mine = piece(units, job.threads, part);
    long unit = 0;
    for (const Pass* p = job.passes; p < job.passes + job.num_passes; ++p) {
      float* to = p->weights;
      for (long group = 0; group < job.groups; ++group)
        for (const Block* b = p->blocks; b < p->blocks + p->num_blocks; ++b)
          for (long panel = 0; panel < panels.count; ++panel, ++unit) {
            if (unit >= mine.begin && unit < mine.end) pack_block(job, *p, *b, group, panel, to);
            to += b->columns * panels.width(panel);
          }
    }
  });
}

// Whether the matrix's rows are the source's pixels, so that nothing need be gathered.
bool is_plain(const Job& job, const Pass& pass) {
  return pass.num_taps == 1 && pass.taps->dy == 0 && pass.taps->dx == 0 && pass.at.step_y == 1 &&
         pass.at.step_x == 1 && pass.at.height == job.source.height &&
         pass.at.width == job.source.width && job.panels().count <= 4;
}

// What the next `rows` rows see that those before did not: about that many pixels of the source,
// at the filter's last row.
Ahead next_source(const Job& job, const Pass& pass, long begin, long rows) {
  const Images& source = job.source;
  const long j = begin % pass.at.width, line = begin / pass.at.width;
  const long y = line / pass.at.height * source.height + line % pass.at.height * pass.at.step_y +
                 pass.taps[pass.num_taps - 1].dy;
  const float* next = source.data + (y * source.width + j * pass.at.step_x) * source.pixel;
  const long size = rows * pass.at.step_y * pass.at.step_x * source.pixel;
  if (y < 0 || next >= source.end) return {nullptr, nullptr};
  return {next, source.end - next < size ? source.end : next + size};
}

// Rows begin .. end - 1 of one group of a pass, panels first .. last - 1.
void multiply_group(const Job& job, const Pass& pass, long group, long begin, long end, long first,
                    long last, float* space, float* sums) {
  const Panels panels = job.panels();
  const bool plain = is_plain(job, pass), linear = job.is_linear();
  Images source = job.source;
  source.data += group * job.channels;
  const float* weights = pass.weights;
  for (const Block* b = pass.blocks; b < pass.blocks + pass.num_blocks; ++b)
    weights += group * b->columns * panels.lanes();
  float* c = linear ? job.pixel_of(pass, begin) + group * job.lanes : sums;
  Ahead ahead = next_source(job, pass, end, end - begin);
  const long c_row = linear ? job.pixel : panels.lanes();
  for (const Block* b = pass.blocks; b < pass.blocks + pass.num_blocks; ++b) {
    const float* a = space;
    long a_row = round_up(b->columns, LANES) + LANES;
    if (plain) {
      a = source.data + begin * source.pixel + b->first->channel;
      a_row = source.pixel;
    } else {
      gather(source, pass.at, b->first, b->last, begin, end, space, a_row);
    }
    for (long p = first; p < last; ++p) {
      const long lane = panels.begin(p), width = panels.width(p);
      const float* start = b == pass.blocks ? job.bias + group * panels.lanes() + lane : nullptr;
      const Strided product = {a, a_row, 1, weights + b->columns * lane, width, b->columns,
                               c + lane, c_row, start, (int)std::min(width, job.lanes - lane)};
      multiply(product, end - begin, ahead);
    }
    weights += b->columns * panels.lanes();
  }
  if (linear) {  // as the forward direction always is
    const long lane = panels.begin(first), to = std::min(panels.begin(last), job.lanes);
    (*job.finish)({c + lane, 1, 0, end - begin, c_row, group * job.lanes + lane, to - lane});
  }
  for (long m = begin; m < end && !linear; ++m)
    std::memcpy(job.pixel_of(pass, m) + group * job.lanes, sums + (m - begin) * c_row,
                job.lanes * sizeof(float));
}

void run_pass(const Job& job, const Pass& pass, Range rows, long first, long last, float* space,
              float* sums) {
  // Without taps: pixels that no output sees.
  for (long m = rows.begin; m < rows.end && pass.num_taps == 0; ++m)
    std::fill_n(job.pixel_of(pass, m), job.pixel, 0.0f);
  if (pass.num_taps == 0) return;
  for (long m = rows.begin; m < rows.end; m += ROWS_AT_ONCE)
    for (long group = 0; group < job.groups; ++group)
      multiply_group(job, pass, group, m, std::min(m + ROWS_AT_ONCE, rows.end), first, last, space,
                     sums);
}

long space_size() { return ROWS_AT_ONCE * (MOST_DEPTH + 2 * LANES); }

void run(const Job& job, float* spaces, float* sums) {
  pack_weights(job);
  const long panels = job.panels().count;
  // Where there are few rows the threads share the panels too.
  long by_rows = job.threads, by_panels = 1;
  if (job.is_linear()) {
    by_rows = std::clamp(job.rows(*job.passes) / 24, 1L, (long)job.threads);
    by_panels = std::clamp(job.threads / by_rows, 1L, panels);
  }
  parallel((int)(by_rows * by_panels), job.threads, [&](int part) {
    const Range mine = piece(panels, (int)by_panels, (int)(part % by_panels));
    for (const Pass* p = job.passes; p < job.passes + job.num_passes; ++p)
      run_pass(job, *p, piece(job.rows(*p), (int)by_rows, (int)(part / by_panels)), mine.begin,
               mine.end, spaces + part * space_size(),
               sums + part * ROWS_AT_ONCE * job.panels().lanes());
  });
}

void plan_forward(const Convolution& g, Job& job, Tap* taps) {
  forward_taps(g, taps);
  *job.passes = {{g.out_height, g.out_width, g.step_y, g.step_x}, 1, 1, 0, 0, taps, g.taps(),
                 nullptr, 0, nullptr};
}

// The pass for the input's pixels that lie at (a, b) modulo the stride.
Pass data_pass(const Convolution& g, long a, long b, Tap* taps) {
  Pass pass = {{divide_up(g.height - a, g.step_y), divide_up(g.width - b, g.step_x), 1, 1},
               g.step_y, g.step_x, a, b, taps, 0, nullptr, 0, nullptr};
  for (long r = g.kernel_y - 1; r >= 0; --r)
    for (long q = g.kernel_x - 1; q >= 0; --q) {
      const long y = a + g.pad_y - r * g.dilation_y, x = b + g.pad_x - q * g.dilation_x;
      if (y % g.step_y == 0 && x % g.step_x == 0)
        taps[pass.num_taps++] = {y / g.step_y, x / g.step_x, r * g.by_row + q * g.by_column};
    }
  return pass;
}

long num_phases(long step, long size) { return std::max(1L, std::min(step, size)); }

void plan_data(const Convolution& g, Job& job, Tap* taps) {
  const long columns = num_phases(g.step_x, g.width);
  for (long p = 0; p < job.num_passes; ++p) {
    job.passes[p] = data_pass(g, p / columns, p % columns, taps);
    taps += job.passes[p].num_taps;
  }
}

// Segments, blocks and room for weights of all passes.
void plan_blocks(Job& job, Segment* segments, Block* blocks, float* weights) {
  for (Pass* p = job.passes; p < job.passes + job.num_passes; ++p) {
    const long count =
        make_segments(p->taps, p->num_taps, job.channels, job.groups == 1, segments);
    p->blocks = blocks;
    p->num_blocks = make_blocks(segments, count, blocks);
    p->weights = weights;
    segments += count;
    blocks += p->num_blocks;
    weights += job.groups * p->num_taps * job.channels * job.panels().lanes();
  }
}

int convolve(const Convolution& g, Job job, bool forward, const float* bias,
             const Epilogue* epilogue) {
  const long whole = job.panels().lanes(), pieces = g.taps() * pieces_of(job.channels);
  Scratch scratch;
  const size_t passes = scratch.add<Pass>(job.num_passes), taps = scratch.add<Tap>(g.taps());
  const size_t segments = scratch.add<Segment>(pieces), blocks = scratch.add<Block>(pieces);
  const size_t weights = scratch.add<float>(job.groups * g.taps() * job.channels * whole);
  const size_t padded = scratch.add<float>(job.groups * whole);
  const size_t spaces = scratch.add<float>(job.threads * space_size());
  const size_t sums = scratch.add<float>(job.threads * ROWS_AT_ONCE * whole);
  const size_t scale = scratch.add<float>(g.outputs);
  if (!scratch.allocate()) return 2;
  const AppliedEpilogue finish(epilogue, job.target, g.outputs, scratch.at<float>(scale));
  job.finish = &finish;
  job.passes = scratch.at<Pass>(passes);
  if (forward)
    plan_forward(g, job, scratch.at<Tap>(taps));
  else
    plan_data(g, job, scratch.at<Tap>(taps));
  plan_blocks(job, scratch.at<Segment>(segments), scratch.at<Block>(blocks),
              scratch.at<float>(weights));
  float* start = scratch.at<float>(padded);
  std::fill_n(start, job.groups * whole, 0.0f);
  for (long k = 0; bias && k < g.outputs; ++k)
    start[k / job.lanes * whole + k % job.lanes] = bias[k];
  job.bias = start;
  run(job, scratch.at<float>(spaces), scratch.at<float>(sums));
  return 0;
}

Images images(const float* data, long count, long height, long width, long pixel) {
  return {data, data + count * height * width * pixel, count, height, width, pixel};
}

}  // namespace
}  // namespace striate

// y = x convolved with the weight, plus a bias for each output where `bias` is not null, then the
// epilogue, where there is one.
extern "C" int striate_direct_forward(const float* x, const float* weight, const float* bias,
                                      float* y, const striate::Epilogue* epilogue,
                                      const int64_t* numbers, int threads) {
  using namespace striate;
  Convolution g;
  if (!g.read(numbers) || threads < 1 || (epilogue && !epilogue->possible())) return 1;
  Job job = {};
  job.source = images(x, g.images, g.height, g.width, g.inputs);
  job.target = y;
  job.height = g.out_height;
  job.width = g.out_width;
  job.pixel = g.outputs;
  job.groups = g.groups;
  job.channels = g.group_inputs();
  job.lanes = g.group_outputs();
  job.weight = weight;
  job.by_channel = g.by_input;
  job.by_lane = g.by_output;
  job.by_group = g.group_outputs() * g.by_output;
  job.num_passes = 1;
  job.threads = threads;
  return convolve(g, job, true, bias, epilogue);
}

// The gradient of x from that of the output.
extern "C" int striate_direct_data(const float* gy, const float* weight, float* gx,
                                   const int64_t* numbers, int threads) {
  using namespace striate;
  Convolution g;
  if (!g.read(numbers) || threads < 1) return 1;
  Job job = {};
  job.source = images(gy, g.images, g.out_height, g.out_width, g.outputs);
  job.target = gx;
  job.height = g.height;
  job.width = g.width;
  job.pixel = g.inputs;
  job.groups = g.groups;
  job.channels = g.group_outputs();
  job.lanes = g.group_inputs();
  job.weight = weight;
  job.by_channel = g.by_output;
  job.by_lane = g.by_input;
  job.by_group = g.group_outputs() * g.by_output;
  job.num_passes = num_phases(g.step_y, g.height) * num_phases(g.step_x, g.width);
  job.threads = threads;
  return convolve(g, job, false, nullptr, nullptr);
}
