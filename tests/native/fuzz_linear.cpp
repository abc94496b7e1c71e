// sources: linear.cpp
// Fully connected layers against naive loops in double precision, on random sizes.
#include "fuzz.hpp"

extern "C" {
int striate_linear_forward(const float*, const float*, const float*, float*, int64_t, int64_t,
                           int64_t, int);
int striate_linear_data(const float*, const float*, float*, int64_t, int64_t, int64_t, int);
int striate_linear_weight(const float*, const float*, float*, int64_t, int64_t, int64_t, int);
}

namespace {

void check_case(Fuzz& fuzz, int64_t M, int64_t K, int64_t N, int threads) {
  const auto x = fuzz.floats(M * K), w = fuzz.floats(N * K), bias = fuzz.floats(N);
  const auto gy = fuzz.floats(M * N);
  const bool with_bias = fuzz.below(2);
  Guarded y(M * N), gx(M * K), gw(N * K);
  int code = striate_linear_forward(x.data(), w.data(), with_bias ? bias.data() : nullptr, y.data(),
                                    M, K, N, threads);
  code |= striate_linear_data(gy.data(), w.data(), gx.data(), M, K, N, threads);
  code |= striate_linear_weight(x.data(), gy.data(), gw.data(), M, K, N, threads);
  fuzz.check(code == 0, "refused");

  std::vector<double> y_true(M * N), gx_true(M * K), gw_true(N * K);
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) {
      if (with_bias) y_true[m * N + n] = bias[n];
      for (int64_t k = 0; k < K; ++k) {
        y_true[m * N + n] += double{x[m * K + k]} * w[n * K + k];
        gx_true[m * K + k] += double{gy[m * N + n]} * w[n * K + k];
        gw_true[n * K + k] += double{gy[m * N + n]} * x[m * K + k];
      }
    }
  fuzz.close(y, y_true, 1e-5, "forward");
  fuzz.close(gx, gx_true, 1e-5, "data");
  fuzz.close(gw, gw_true, 1e-5, "weight");
}

}  // namespace

FUZZ(linear, fuzz) {
  const int64_t sizes[] = {1, 2, 5, 16, 31, 64, 129, 200, 270};
  for (int round = 0; round < fuzz.rounds; ++round)
    check_case(fuzz, sizes[fuzz.below(9)], sizes[fuzz.below(9)], sizes[fuzz.below(9)],
               1 + (int)fuzz.below(4));
  float one[1] = {};
  fuzz.check(striate_linear_forward(one, one, one, one, 1, 0, 1, 1) != 0, "no inputs");
  fuzz.check(striate_linear_data(one, one, one, 1, 1, 1, 0) != 0, "no threads");
}
