// What may follow a convolution, drawn at random, and what it makes of the true output.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "finish.hpp"
#include "fuzz.hpp"

inline double activated(double z, int64_t number) {
  switch (number) {
    case 1: return std::fmax(z, 0);
    case 2: return z * 0.5 * std::erfc(-z * std::sqrt(0.5));
    case 3: return z / (1 + std::exp(-1.5957691216057308 * (z + 0.044715 * z * z * z)));
    case 4: return z / (1 + std::exp(-z));
    case 5: return std::tanh(z);
    default: return z;
  }
}

class Followed {
 public:
  // Nothing follows in one of three draws.
  Followed(Fuzz& fuzz, size_t outputs, int64_t channels)
      : mean_(fuzz.floats(channels)), variance_(fuzz.floats(channels)),
        weight_(fuzz.floats(channels)), bias_(fuzz.floats(channels)),
        residual_(fuzz.floats(outputs)) {
    for (float& value : variance_) value = std::fabs(value);
    if (fuzz.below(3) == 0) return;
    const bool affine = fuzz.below(2);
    following_ = striate::Following{mean_.data(),
                                    variance_.data(),
                                    affine ? weight_.data() : nullptr,
                                    affine ? bias_.data() : nullptr,
                                    fuzz.below(2) ? residual_.data() : nullptr,
                                    0.3,
                                    fuzz.below(6)};
  }

  const striate::Following* address() const { return following_ ? &*following_ : nullptr; }

  void apply(std::vector<double>& y) const {
    if (!following_) return;
    const size_t channels = mean_.size();
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t k = i % channels;
      double z = (y[i] - mean_[k]) / std::sqrt(variance_[k] + following_->eps);
      if (following_->weight) z = z * weight_[k] + bias_[k];
      if (following_->residual) z += residual_[i];
      y[i] = activated(z, following_->activation);
    }
  }

 private:
  std::vector<float> mean_, variance_, weight_, bias_, residual_;
  std::optional<striate::Following> following_;
};
