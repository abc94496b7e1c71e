// An epilogue drawn at random, and what it makes of a convolution's output.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "epilogue.hpp"
#include "fuzz.hpp"

inline double activated(double z, int64_t number) {
  switch (number) {
    case 1: return std::fmax(z, 0);
    case 2: return z * 0.5 * std::erfc(-z * std::sqrt(0.5));
    case 3: return z / (1 + std::exp(-1.5957691216057308 * (z + 0.044715 * z * z * z)));
    case 4: return z / (1 + std::exp(-z));
    case 5: return std::tanh(z);
    case 6: return std::fmin(std::fmax(z, 0), 6);
    default: return z;
  }
}

class RandomEpilogue {
 public:
  // None in one of three draws.
  RandomEpilogue(Fuzz& fuzz, size_t outputs, int64_t channels)
      : mean_(fuzz.floats(channels)), variance_(fuzz.floats(channels)),
        weight_(fuzz.floats(channels)), bias_(fuzz.floats(channels)),
        residual_(fuzz.floats(outputs)) {
    for (float& value : variance_) value = std::fabs(value);
    if (fuzz.below(3) == 0) return;
    epilogue_ = striate::Epilogue{mean_.data(),
                                  variance_.data(),
                                  fuzz.below(3) ? weight_.data() : nullptr,
                                  fuzz.below(3) ? bias_.data() : nullptr,
                                  fuzz.below(2) ? residual_.data() : nullptr,
                                  0.3,
                                  fuzz.below(7)};
  }

  const striate::Epilogue* address() const { return epilogue_ ? &*epilogue_ : nullptr; }

  // In double precision, of the output that the same kernel gives without an epilogue.
  std::vector<double> applied(Guarded& without) const {
    std::vector<double> y(without.data(), without.data() + without.size());
    if (!epilogue_) return y;
    const size_t channels = mean_.size();
    for (size_t i = 0; i < y.size(); ++i) {
      const size_t k = i % channels;
      double z = (y[i] - mean_[k]) / std::sqrt(variance_[k] + epilogue_->eps);
      if (epilogue_->weight) z *= weight_[k];
      if (epilogue_->bias) z += bias_[k];
      if (epilogue_->residual) z += residual_[i];
      y[i] = activated(z, epilogue_->activation);
    }
    return y;
  }

 private:
  std::vector<float> mean_, variance_, weight_, bias_, residual_;
  std::optional<striate::Epilogue> epilogue_;
};
