// A small harness: each family of kernels has one FUZZ function in a file fuzz_FAMILY.cpp, whose
// first line names the sources that it tests: "// sources: a.cpp b.cpp".
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

// Results live between canaries, and start as not-a-number: what was not written is seen.
class Guarded {
 public:
  explicit Guarded(size_t size) : values_(size + 2 * EDGE, CANARY), size_(size) {
    for (size_t i = 0; i < size; ++i) data()[i] = NAN;
  }
  float* data() { return values_.data() + EDGE; }
  size_t size() const { return size_; }
  bool whole() const {
    for (size_t i = 0; i < EDGE; ++i)
      if (values_[i] != CANARY || values_[EDGE + size_ + i] != CANARY) return false;
    return true;
  }

 private:
  static constexpr size_t EDGE = 64;
  static constexpr float CANARY = 12345.0f;
  std::vector<float> values_;
  size_t size_;
};

class Fuzz {
 public:
  Fuzz(unsigned seed, int rounds) : rounds(rounds), engine_(seed) {}

  const int rounds;
  int failures = 0;

  // A whole number in 0 .. limit - 1.
  int64_t below(int64_t limit) { return static_cast<int64_t>(engine_() % limit); }

  // Exactly this many values: the sanitizer sees a read of one more.
  std::vector<float> floats(size_t size) {
    std::normal_distribution<float> draw;
    std::vector<float> values(size);
    for (float& value : values) value = draw(engine_);
    values.shrink_to_fit();
    return values;
  }

  void check(bool right, const char* what) {
    if (right) return;
    ++failures;
    std::printf("FAILED: %s\n", what);
  }

  // Every value within `bound` times the largest true value.
  void close(Guarded& found, const std::vector<double>& truth, double bound, const char* what) {
    double largest = 1e-3, worst = 0;
    for (double value : truth) largest = std::fmax(largest, std::fabs(value));
    for (size_t i = 0; i < truth.size(); ++i) {
      const double error = std::fabs(found.data()[i] - truth[i]);
      if (!(error <= worst)) worst = error;  // keeps not-a-number
    }
    check(worst <= bound * largest, what);
    check(found.whole(), "wrote outside");
  }

 private:
  std::mt19937 engine_;
};

struct Family {
  const char* name;
  void (*run)(Fuzz&);
};

inline std::vector<Family>& families() {
  static std::vector<Family> all;
  return all;
}

#define FUZZ(family, argument)                                                       \
  static void fuzz_##family(Fuzz& argument);                                         \
  static const bool registered_##family =                                            \
      (families().push_back({#family, fuzz_##family}), true);                        \
  static void fuzz_##family(Fuzz& argument)
