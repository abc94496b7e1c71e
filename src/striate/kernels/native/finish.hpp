// What follows a convolution in a network that only answers: normalisation by known statistics, a
// residual, an activation. Done to each piece of the output while it lies in the cache, with the
// same operations in the same order as norm.cpp, so that the answer is the same to the bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "elementary.hpp"
#include "stream.hpp"

namespace striate {

// As `Following` in operators/following.py.
struct Following {
  const float *mean, *variance;  // of each channel
  const float *weight, *bias;    // of each channel; null: one and zero
  const float* residual;         // where the output has its like; null: none
  double eps;
  int64_t activation;

  bool possible() const { return mean && variance && activation >= 0 && activation < NUM_ACTIVATIONS; }
};

// Pixels of the output, a few of their channels: `lines` rows of `pixels`.
struct Piece {
  float* data;
  long lines, line, pixels, pixel;  // floats between lines and between pixels
  long channel, channels;           // the first of them, and how many
};

class Finish {
 public:
  // `output`: where all of it begins; `scale`: room for a number for each channel.
  Finish(const Following* following, const float* output, long channels, float* scale)
      : following_(following), output_(output), scale_(scale) {
    if (!following) return;
    const Following& f = *following;
    for (long k = 0; k < channels; ++k)
      scale[k] = static_cast<float>(1.0 / std::sqrt(f.variance[k] + f.eps)) *
                 (f.weight ? f.weight[k] : 1.0f);
    with_activation(static_cast<int>(f.activation), [&](auto act) {
      using Act = decltype(act);
      run_ = f.residual ? &Finish::finish<Act, true> : &Finish::finish<Act, false>;
    });
  }

  void operator()(const Piece& piece) const {
    if (following_) (this->*run_)(piece);
  }

 private:
  template <typename Act, bool RESIDUAL>
  void finish(const Piece& piece) const {
    for (long c = 0; c < piece.channels; c += LANES) {
      const int n = static_cast<int>(std::min<long>(LANES, piece.channels - c));
      if (n == LANES)
        vector<Act, RESIDUAL>(piece, c, std::integral_constant<int, LANES>{});
      else
        vector<Act, RESIDUAL>(piece, c, n);
    }
  }

  template <typename Act, bool RESIDUAL, typename Lanes>
  STRIATE_INLINE void vector(const Piece& piece, long c, Lanes lanes) const {
    const long k = piece.channel + c;
    const vec mean = load_some(following_->mean + k, lanes), scale = load_some(scale_ + k, lanes);
    const vec shift = following_->bias ? load_some(following_->bias + k, lanes) : vec{};
    for (long i = 0; i < piece.lines; ++i) {
      float* at = piece.data + i * piece.line + c;
      for (long j = 0; j < piece.pixels; ++j, at += piece.pixel) {
        vec z = normalised(load_some(at, lanes), mean, scale, shift);
        if constexpr (RESIDUAL) z += load_some(following_->residual + (at - output_), lanes);
        store_some(at, Act::value(z), lanes);
      }
    }
  }

  const Following* following_;
  const float *output_, *scale_;
  void (Finish::*run_)(const Piece&) const = nullptr;
};

}  // namespace striate
