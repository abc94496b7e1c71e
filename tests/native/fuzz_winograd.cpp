// sources: winograd.cpp
// Winograd kernels against naive loops in double precision, on random shapes and strides.
#include <algorithm>

#include "fuzz.hpp"
#include "with_epilogue.hpp"

extern "C" {
int striate_winograd_forward(int, const float*, const float*, const float*, float*,
                             const striate::Epilogue*, int64_t, int64_t, int64_t, int64_t, int64_t,
                             int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int);
int striate_winograd_weight(int, const float*, const float*, float*, float*, int64_t, int64_t,
                            int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                            int64_t, int);
}

namespace {

struct Case {
  int tile, threads;
  int64_t B, H, W, C, K, pad_h, pad_w, k, c, r, s;  // the last four: strides of the kernel
  int64_t out_h() const { return H + 2 * pad_h - 2; }
  int64_t out_w() const { return W + 2 * pad_w - 2; }

  // Calls visit(x index, w index, y index) for every product of the convolution.
  template <typename F>
  void products(F visit) const {
    for (int64_t b = 0; b < B; ++b)
      for (int64_t i = 0; i < out_h(); ++i)
        for (int64_t j = 0; j < out_w(); ++j)
          for (int64_t r3 = 0; r3 < 3; ++r3)
            for (int64_t s3 = 0; s3 < 3; ++s3) {
              const int64_t h = i + r3 - pad_h, w = j + s3 - pad_w;
              if (h < 0 || h >= H || w < 0 || w >= W) continue;
              for (int64_t m = 0; m < K; ++m)
                for (int64_t n = 0; n < C; ++n)
                  visit(((b * H + h) * W + w) * C + n, m * k + n * c + r3 * r + s3 * s,
                        ((b * out_h() + i) * out_w() + j) * K + m);
            }
  }
};

void check_case(Fuzz& fuzz, const Case& at) {
  const auto x = fuzz.floats(at.B * at.H * at.W * at.C), w = fuzz.floats(9 * at.C * at.K);
  const auto bias = fuzz.floats(at.K), gy = fuzz.floats(at.B * at.out_h() * at.out_w() * at.K);
  const bool with_bias = fuzz.below(2);
  const RandomEpilogue epilogue(fuzz, gy.size(), at.K);
  Guarded y(gy.size()), gw(w.size()), gb(bias.size());
  const float* b = with_bias ? bias.data() : nullptr;
  const auto forward = [&](Guarded& to, const striate::Epilogue* then) {
    return striate_winograd_forward(at.tile, x.data(), w.data(), b, to.data(), then, at.B, at.H,
                                    at.W, at.C, at.K, at.pad_h, at.pad_w, at.k, at.c, at.r, at.s,
                                    at.threads);
  };
  Guarded finished(gy.size());
  int code = forward(y, nullptr) | forward(finished, epilogue.address());
  fuzz.check(code == 0, "forward refused");
  fuzz.close(finished, epilogue.applied(y), 2e-6, "epilogue");
  code = striate_winograd_weight(at.tile, x.data(), gy.data(), gw.data(),
                                 with_bias ? gb.data() : nullptr, at.B, at.H, at.W, at.C, at.K,
                                 at.pad_h, at.pad_w, at.k, at.c, at.r, at.s, at.threads);
  fuzz.check(code == 0, "weight refused");

  std::vector<double> y_true(gy.size()), gw_true(w.size()), gb_true(bias.size());
  for (size_t i = 0; i < y_true.size(); ++i) {
    if (with_bias) y_true[i] = bias[i % at.K];
    gb_true[i % at.K] += gy[i];
  }
  at.products([&](int64_t in, int64_t kernel, int64_t out) {
    y_true[out] += double{x[in]} * w[kernel];
    gw_true[kernel] += double{x[in]} * gy[out];
  });
  fuzz.close(y, y_true, 5e-5, "forward");
  fuzz.close(gw, gw_true, 5e-5, "weight");
  if (with_bias) fuzz.close(gb, gb_true, 1e-5, "bias");
}

void impossible(Fuzz& fuzz) {
  float one[81] = {};
  const auto forward = [&](int tile, int64_t B, int64_t H, int64_t C, int64_t pad, int threads) {
    return striate_winograd_forward(tile, one, one, nullptr, one, nullptr, B, H, 3, C, 1, pad, 1, 9,
                                    9, 3, 1, threads);
  };
  fuzz.check(forward(3, 1, 3, 1, 1, 1) != 0, "unknown tile");
  fuzz.check(forward(4, 0, 3, 1, 1, 1) != 0, "no images");
  fuzz.check(forward(4, 1, 2, 1, 0, 1) != 0, "no output");
  fuzz.check(forward(4, 1, 3, -1, 1, 1) != 0, "negative channels");
  fuzz.check(forward(4, 1, 3, 1, 3, 1) != 0, "padding wider than the kernel");
  fuzz.check(forward(4, 1, 3, 1, 1, 0) != 0, "no threads");
  fuzz.check(striate_winograd_forward(4, nullptr, one, nullptr, one, nullptr, 1, 3, 3, 1, 1, 1, 1, 9,
                                      9, 3, 1, 1) != 0,
             "no images' address");
  const striate::Epilogue unknown{one, one, nullptr, nullptr, nullptr, 0, 7};
  fuzz.check(striate_winograd_forward(4, one, one, nullptr, one, &unknown, 1, 3, 3, 1, 1, 1, 1, 9, 9,
                                      3, 1, 1) != 0,
             "unknown activation");
}

}  // namespace

FUZZ(winograd, fuzz) {
  impossible(fuzz);
  for (int i = 0; i < fuzz.rounds; ++i) {
    Case at{};
    at.tile = fuzz.below(2) ? 4 : 2;
    at.threads = 1 + fuzz.below(3);
    at.B = 1 + fuzz.below(3);
    at.pad_h = fuzz.below(3);
    at.pad_w = fuzz.below(3);
    at.H = std::max<int64_t>(1 + fuzz.below(9), 3 - 2 * at.pad_h);
    at.W = std::max<int64_t>(1 + fuzz.below(9), 3 - 2 * at.pad_w);
    at.C = 1 + fuzz.below(fuzz.below(2) ? 40 : 6);
    at.K = 1 + fuzz.below(fuzz.below(2) ? 40 : 6);
    if (fuzz.below(2)) {
      at.k = 9 * at.C, at.c = 9, at.r = 3, at.s = 1;  // torch's ordinary order
    } else {
      at.k = 9 * at.C, at.c = 1, at.r = 3 * at.C, at.s = at.C;  // channels_last
    }
    check_case(fuzz, at);
  }
}
