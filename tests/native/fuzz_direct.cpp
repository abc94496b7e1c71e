// sources: direct.cpp direct_forward.cpp direct_weight.cpp depthwise.cpp
// Gathered and depthwise convolutions against naive loops in double precision, on random shapes.
#include "fuzz.hpp"
#include "with_epilogue.hpp"

extern "C" {
int striate_direct_forward(const float*, const float*, const float*, float*,
                           const striate::Epilogue*, const int64_t*, int);
int striate_direct_data(const float*, const float*, float*, const int64_t*, int);
int striate_direct_weight(const float*, const float*, float*, float*, const int64_t*, int);
int striate_depthwise_forward(const float*, const float*, const float*, float*,
                              const striate::Epilogue*, const int64_t*, int);
int striate_depthwise_data(const float*, const float*, float*, const int64_t*, int);
int striate_depthwise_weight(const float*, const float*, float*, float*, const int64_t*, int);
}

namespace {

struct Case {
  bool depthwise;
  int threads;
  int64_t B, H, W, C, K, R, S, step[2], pad[2], dilation[2], groups;
  int64_t k, c, r, s;  // strides of the kernel

  int64_t out(int axis) const {
    const int64_t room =
        (axis ? W : H) + 2 * pad[axis] - dilation[axis] * ((axis ? S : R) - 1) - 1;
    return room < 0 ? 0 : room / step[axis] + 1;
  }
  std::vector<int64_t> numbers() const {
    if (depthwise)
      return {B,      H,      W,           C,           R, S, step[0], step[1],
              pad[0], pad[1], dilation[0], dilation[1], k, r, s};
    return {B,      H,      W,           C,           K,      R, S, step[0], step[1],
            pad[0], pad[1], dilation[0], dilation[1], groups, k, c, r,       s};
  }

  // Calls visit(x index, w index, y index) for every product of the convolution.
  template <typename F>
  void products(F visit) const {
    const int64_t n = C / groups, m = K / groups;
    for (int64_t b = 0; b < B; ++b)
      for (int64_t i = 0; i < out(0); ++i)
        for (int64_t j = 0; j < out(1); ++j)
          for (int64_t y = 0; y < R; ++y)
            for (int64_t x = 0; x < S; ++x) {
              const int64_t h = i * step[0] + y * dilation[0] - pad[0];
              const int64_t w = j * step[1] + x * dilation[1] - pad[1];
              if (h < 0 || h >= H || w < 0 || w >= W) continue;
              for (int64_t to = 0; to < K; ++to)
                for (int64_t from = 0; from < n; ++from)
                  visit(((b * H + h) * W + w) * C + to / m * n + from,
                        to * k + from * c + y * r + x * s,
                        ((b * out(0) + i) * out(1) + j) * K + to);
            }
  }
};

void check_case(Fuzz& fuzz, const Case& at) {
  const auto x = fuzz.floats(at.B * at.H * at.W * at.C);
  const auto w = fuzz.floats(at.K * (at.C / at.groups) * at.R * at.S);
  const auto bias = fuzz.floats(at.K), gy = fuzz.floats(at.B * at.out(0) * at.out(1) * at.K);
  const bool with_bias = fuzz.below(2);
  const RandomEpilogue epilogue(fuzz, gy.size(), at.K);
  Guarded y(gy.size()), gx(x.size()), gw(w.size()), gb(bias.size());
  const auto numbers = at.numbers();
  const auto forward = at.depthwise ? striate_depthwise_forward : striate_direct_forward;
  const auto data = at.depthwise ? striate_depthwise_data : striate_direct_data;
  const auto weight = at.depthwise ? striate_depthwise_weight : striate_direct_weight;
  const float* b = with_bias ? bias.data() : nullptr;
  Guarded finished(gy.size());
  int code = forward(x.data(), w.data(), b, y.data(), nullptr, numbers.data(), at.threads);
  code |= forward(x.data(), w.data(), b, finished.data(), epilogue.address(), numbers.data(),
                  at.threads);
  code |= data(gy.data(), w.data(), gx.data(), numbers.data(), at.threads);
  code |= weight(x.data(), gy.data(), gw.data(), with_bias ? gb.data() : nullptr, numbers.data(),
                 at.threads);
  fuzz.check(code == 0, "refused");
  fuzz.close(finished, epilogue.applied(y), 2e-6, "epilogue");

  std::vector<double> y_true(gy.size()), gx_true(x.size()), gw_true(w.size()), gb_true(at.K);
  for (size_t i = 0; i < y_true.size(); ++i) {
    if (with_bias) y_true[i] = bias[i % at.K];
    gb_true[i % at.K] += gy[i];
  }
  at.products([&](int64_t in, int64_t kernel, int64_t out) {
    y_true[out] += double{x[in]} * w[kernel];
    gx_true[in] += double{gy[out]} * w[kernel];
    gw_true[kernel] += double{x[in]} * gy[out];
  });
  fuzz.close(y, y_true, 1e-5, "forward");
  fuzz.close(gx, gx_true, 1e-5, "data");
  fuzz.close(gw, gw_true, 1e-5, "weight");
  if (with_bias) fuzz.close(gb, gb_true, 1e-5, "bias");
}

Case draw(Fuzz& fuzz, bool depthwise) {
  const int64_t channels[] = {1, 2, 3, 5, 8, 16, 17, 33, 70, 400};
  Case at = {};
  at.depthwise = depthwise;
  do {
    at.threads = 1 + (int)fuzz.below(4);
    at.groups = depthwise ? 1 + fuzz.below(40) : 1 + fuzz.below(3) / 2 * fuzz.below(3);
    at.C = depthwise ? at.groups : at.groups * channels[fuzz.below(10)];
    at.K = depthwise ? at.groups : at.groups * channels[fuzz.below(9)];
    at.R = 1 + fuzz.below(depthwise ? 7 : 5);
    at.S = depthwise ? 1 + 2 * fuzz.below(4) : 1 + fuzz.below(5);
    at.B = 1 + fuzz.below(3);
    at.H = 1 + fuzz.below(13);
    at.W = 1 + fuzz.below(13);
    for (int axis = 0; axis < 2; ++axis) {
      at.step[axis] = 1 + fuzz.below(3);
      at.pad[axis] = fuzz.below(5);
      at.dilation[axis] = 1 + fuzz.below(3) / 2;
    }
  } while (at.out(0) < 1 || at.out(1) < 1 || at.C / at.groups * at.K * at.R * at.S > 60000);
  const int64_t n = at.C / at.groups;
  if (fuzz.below(2)) {
    at.c = 1, at.s = n, at.r = at.S * n, at.k = at.R * at.S * n;
  } else {
    at.s = 1, at.r = at.S, at.c = at.R * at.S, at.k = n * at.R * at.S;
  }
  return at;
}

void impossible(Fuzz& fuzz) {
  float one[16] = {};
  const int64_t none[15] = {1, 2, 2, 1, 3, 3, 1, 1, 0, 0, 1, 1, 9, 3, 1};
  const int64_t large[15] = {1, 20, 20, 1, 9, 9, 1, 1, 0, 0, 1, 1, 81, 9, 1};
  fuzz.check(striate_depthwise_forward(one, one, nullptr, one, nullptr, none, 1) != 0, "no output");
  fuzz.check(striate_depthwise_data(one, one, one, large, 1) != 0, "too many taps");
  const int64_t groups[18] = {1, 2, 2, 3, 2, 1, 1, 1, 1, 0, 0, 1, 1, 2, 1, 1, 1, 1};
  const int64_t step[18] = {1, 2, 2, 1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1};
  const int64_t right[18] = {1, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1};
  fuzz.check(striate_direct_forward(one, one, nullptr, one, nullptr, groups, 1) != 0, "uneven groups");
  fuzz.check(striate_direct_data(one, one, one, step, 1) != 0, "no step");
  fuzz.check(striate_direct_weight(one, one, one, one, right, 0) != 0, "no threads");
  const striate::Epilogue unknown{one, one, nullptr, nullptr, nullptr, 0, -1};
  fuzz.check(striate_direct_forward(one, one, nullptr, one, &unknown, right, 1) != 0,
             "unknown activation");
  const int64_t alone[15] = {1, 2, 2, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1};
  fuzz.check(striate_depthwise_forward(one, one, nullptr, one, &unknown, alone, 1) != 0,
             "unknown activation of a depthwise convolution");
}

}  // namespace

FUZZ(direct, fuzz) {
  impossible(fuzz);
  for (int round = 0; round < fuzz.rounds; ++round) check_case(fuzz, draw(fuzz, false));
}

FUZZ(depthwise, fuzz) {
  for (int round = 0; round < fuzz.rounds; ++round) check_case(fuzz, draw(fuzz, true));
}
