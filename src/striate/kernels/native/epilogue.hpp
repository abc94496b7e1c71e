// The epilogue of a convolution in a network that only answers: normalisation by known statistics,
// a residual, an activation. Done to each piece of the output while it lies in the cache, with the
// same operations in the same order as norm.cpp, so that the answer is the same to the bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "elementary.hpp"
#include "stream.hpp"

namespace striate {

// What a caller says: as `_Epilogue` in operators/inference.py.
struct Epilogue {
  const float *mean, *variance;  // of each channel
  const float *weight, *bias;    // of each channel; null: one, zero
  const float* residual;         // as large as the output; null: none
  double eps;
  int64_t activation;

  bool possible() const {
    return mean && variance && with_activation(static_cast<int>(activation), [](auto) {});
  }
};

// Pixels of the output, some of their channels. Strides are in floats.
struct Piece {
  float* data;
  long lines, line_stride, pixels, pixel_stride;
  long channel, channels;  // the first of them, and how many
};

// An epilogue with its scales worked out; without one it does nothing.
class AppliedEpilogue {
 public:
  // `output`: where all of it begins; `scale`: room for a number for each channel.
  AppliedEpilogue(const Epilogue* epilogue, const float* output, long channels, float* scale)
      : epilogue_(epilogue), output_(output), scale_(scale) {
    if (!epilogue) return;
    const Epilogue& e = *epilogue;
    for (long k = 0; k < channels; ++k)
      scale[k] = static_cast<float>(1.0 / std::sqrt(e.variance[k] + e.eps)) *
                 (e.weight ? e.weight[k] : 1.0f);
    with_activation(static_cast<int>(e.activation), [&](auto act) {
      using Act = decltype(act);
      run_ = e.residual ? &AppliedEpilogue::run<Act, true> : &AppliedEpilogue::run<Act, false>;
    });
  }

  void operator()(const Piece& piece) const {
    if (epilogue_) (this->*run_)(piece);
  }

 private:
  template <typename Act, bool RESIDUAL>
  void run(const Piece& piece) const {
    for (long c = 0; c < piece.channels; c += LANES) {
      const int n = static_cast<int>(std::min<long>(LANES, piece.channels - c));
      if (n == LANES)
        run_lanes<Act, RESIDUAL>(piece, c, std::integral_constant<int, LANES>{});
      else
        run_lanes<Act, RESIDUAL>(piece, c, n);
    }
  }

  template <typename Act, bool RESIDUAL, typename Lanes>
  STRIATE_INLINE void run_lanes(const Piece& piece, long c, Lanes lanes) const {
    const Epilogue& e = *epilogue_;
    const long k = piece.channel + c;
    const vec mean = load_some(e.mean + k, lanes), scale = load_some(scale_ + k, lanes);
    const vec shift = e.bias ? load_some(e.bias + k, lanes) : vec{};
    for (long i = 0; i < piece.lines; ++i) {
      float* at = piece.data + i * piece.line_stride + c;
      for (long j = 0; j < piece.pixels; ++j, at += piece.pixel_stride) {
        vec z = normalised(load_some(at, lanes), mean, scale, shift);
        if constexpr (RESIDUAL) z += load_some(e.residual + (at - output_), lanes);
        store_some(at, Act::value(z), lanes);
      }
    }
  }

  const Epilogue* epilogue_;
  const float *output_, *scale_;
  void (AppliedEpilogue::*run_)(const Piece&) const = nullptr;
};

}  // namespace striate
