// sources: norm.cpp activation.cpp pool.cpp dropout.cpp batch.cpp
// Normalisation with activation, activations alone, pooling, dropout and batches against naive loops in double.
#include <algorithm>
#include <cmath>

#include "fuzz.hpp"
#include "with_epilogue.hpp"

extern "C" {
int striate_norm_statistics(const float*, float*, float*, int64_t, int64_t, int);
int striate_norm_apply(const float*, const float*, const float*, const float*, const float*,
                       const float*, float*, int64_t, int64_t, int, int);
int striate_norm_backward(const float*, const float*, const float*, const float*, const float*,
                          const float*, const float*, float*, float*, float*, float*, int64_t,
                          int64_t, int, int, int);
int striate_activation_value(const float*, float*, int64_t, int, int);
int striate_activation_gradient(const float*, const float*, float*, int64_t, int, int);
int striate_pool_max(const float*, float*, uint8_t*, const int64_t*, int);
int striate_pool_max_backward(const float*, const uint8_t*, float*, const int64_t*, int);
int striate_dropout_apply(const float*, float*, int64_t, int64_t, int, float, int);
int striate_batch_gather(const uint8_t*, const int64_t*, const int32_t*, const int32_t*,
                         const float*, float*, int64_t, int64_t, int64_t, int64_t, int64_t,
                         int64_t, int64_t, int);
}

namespace {

double slope(double z, int number) {
  if (number == 1) return z > 0;
  if (number == 6) return z > 0 && z < 6;
  return (activated(z + 1e-5, number) - activated(z - 1e-5, number)) / 2e-5;
}

void norm(Fuzz& fuzz) {
  const int64_t C = 1 + fuzz.below(fuzz.below(2) ? 70 : 6), rows = 2 + fuzz.below(400);
  const int number = fuzz.below(7), threads = 1 + fuzz.below(3);
  const bool with_residual = fuzz.below(2), with_weight = fuzz.below(2);
  const auto x = fuzz.floats(rows * C), r = fuzz.floats(rows * C), grad = fuzz.floats(rows * C);
  const auto w = fuzz.floats(C), b = fuzz.floats(C);
  const float *residual = with_residual ? r.data() : nullptr,
              *weight = with_weight ? w.data() : nullptr, *bias = with_weight ? b.data() : nullptr;
  Guarded mean(C), variance(C), y(rows * C), dx(rows * C), dr(rows * C), dw(C), db(C);
  int code = striate_norm_statistics(x.data(), mean.data(), variance.data(), rows, C, threads);
  std::vector<double> m(C), v(C), y_true(rows * C), dz(rows * C), dw_true(C), db_true(C);
  for (int64_t i = 0; i < rows * C; ++i) m[i % C] += x[i] / double(rows);
  for (int64_t i = 0; i < rows * C; ++i) v[i % C] += std::pow(x[i] - m[i % C], 2) / rows;
  // A mean may lie near zero: what counts is its error beside the deviation, about 1.
  for (int64_t c = 0; c < C; ++c) fuzz.check(std::fabs(mean.data()[c] - m[c]) < 1e-6, "mean");
  fuzz.check(mean.whole(), "wrote outside");
  fuzz.close(variance, v, 1e-6, "variance");
  std::vector<float> inverse(C);
  for (int64_t c = 0; c < C; ++c) inverse[c] = static_cast<float>(1 / std::sqrt(v[c] + 0.1));
  code |= striate_norm_apply(x.data(), residual, mean.data(), inverse.data(), weight, bias,
                             y.data(), rows, C, number, threads);
  const bool give = with_residual && number;
  code |= striate_norm_backward(grad.data(), x.data(), residual, mean.data(), inverse.data(),
                                weight, bias, dx.data(), give ? dr.data() : nullptr, dw.data(),
                                db.data(), rows, C, number, 1, threads);
  fuzz.check(code == 0, "norm refused");
  const auto normal = [&](int64_t i) { return (x[i] - m[i % C]) * inverse[i % C]; };
  for (int64_t i = 0; i < rows * C; ++i) {
    double z = normal(i) * (weight ? w[i % C] : 1) + (bias ? b[i % C] : 0);
    z += residual ? r[i] : 0;
    y_true[i] = activated(z, number);
    dz[i] = grad[i] * slope(z, number);
    db_true[i % C] += dz[i];
    dw_true[i % C] += dz[i] * normal(i);
  }
  std::vector<double> dx_true(rows * C);
  for (int64_t i = 0; i < rows * C; ++i)
    dx_true[i] = (weight ? w[i % C] : 1) * inverse[i % C] *
                 (dz[i] - db_true[i % C] / rows - normal(i) * dw_true[i % C] / rows);
  fuzz.close(y, y_true, 2e-6, "norm");
  // Where z lies at the rectifier's corner rounding may choose the other side: none of the few
  // thousand draws does.
  fuzz.close(dx, dx_true, 5e-6, "norm: data");
  // Sums of signed terms may come out small beside the terms.
  fuzz.close(dw, dw_true, 5e-5, "norm: weight");
  fuzz.close(db, db_true, 5e-5, "norm: bias");
  if (give) fuzz.close(dr, dz, 5e-6, "norm: residual");
}

void activation(Fuzz& fuzz) {
  // The first sizes are worked on by several threads, the others have odd ends.
  const int64_t size = fuzz.below(4) ? fuzz.below(300) : 32768 + fuzz.below(40000);
  const int number = fuzz.below(7), threads = 1 + fuzz.below(3);
  const auto x = fuzz.floats(size), grad = fuzz.floats(size);
  Guarded y(size), dx(size);
  int code = striate_activation_value(x.data(), y.data(), size, number, threads);
  code |= striate_activation_gradient(grad.data(), x.data(), dx.data(), size, number, threads);
  fuzz.check(code == 0, "activation refused");
  std::vector<double> y_true(size), dx_true(size);
  for (int64_t i = 0; i < size; ++i) {
    y_true[i] = activated(x[i], number);
    dx_true[i] = grad[i] * slope(x[i], number);
  }
  fuzz.close(y, y_true, 1e-6, "activation");
  fuzz.close(dx, dx_true, 2e-6, "activation: slope");
}

void pool(Fuzz& fuzz) {
  const int64_t B = 1 + fuzz.below(3), H = 1 + fuzz.below(9), W = 1 + fuzz.below(9);
  const int64_t C = 1 + fuzz.below(fuzz.below(2) ? 40 : 5), k = 1 + fuzz.below(4),
                s = 1 + fuzz.below(3), p = fuzz.below(k / 2 + 1), d = 1 + fuzz.below(2);
  const auto outputs = [&](int64_t size) { return (size + 2 * p - d * (k - 1) - 1) / s + 1; };
  if (H + 2 * p < d * (k - 1) + 1 || W + 2 * p < d * (k - 1) + 1) return;
  const int64_t oh = outputs(H), ow = outputs(W);
  const int threads = 1 + fuzz.below(3);
  const int64_t sizes[] = {B, H, W, C, oh, ow, k, k, s, s, p, p, d, d};
  const auto x = fuzz.floats(B * H * W * C), grad = fuzz.floats(B * oh * ow * C);
  Guarded y(grad.size()), dx(x.size());
  std::vector<uint8_t> index(grad.size());
  int code = striate_pool_max(x.data(), y.data(), index.data(), sizes, threads);
  code |= striate_pool_max_backward(grad.data(), index.data(), dx.data(), sizes, threads);
  fuzz.check(code == 0, "pool refused");
  std::vector<double> y_true(grad.size()), dx_true(x.size());
  for (int64_t o = 0; o < static_cast<int64_t>(grad.size()); ++o) {
    const int64_t c = o % C, j = o / C % ow, i = o / C / ow % oh, b = o / C / ow / oh;
    int64_t best = -1;
    for (int64_t u = 0; u < k; ++u)
      for (int64_t t = 0; t < k; ++t) {
        const int64_t h = i * s - p + u * d, w = j * s - p + t * d;
        if (h < 0 || h >= H || w < 0 || w >= W) continue;
        const int64_t at = ((b * H + h) * W + w) * C + c;
        if (best < 0 || x[at] > x[best]) best = at;
      }
    if (best < 0) return;  // a dilated window over nothing
    y_true[o] = x[best];
    dx_true[best] += grad[o];
  }
  fuzz.close(y, y_true, 0, "pool");
  fuzz.close(dx, dx_true, 1e-6, "pool: data");
}

void dropout(Fuzz& fuzz) {
  const int64_t size = fuzz.below(700), seed = fuzz.below(1000);
  const int kept = fuzz.below(65537);
  const auto x = fuzz.floats(size);
  Guarded y(size), again(size);
  int code = striate_dropout_apply(x.data(), y.data(), size, seed, kept, 1.5f, 1);
  code |= striate_dropout_apply(x.data(), again.data(), size, seed, kept, 1.5f, 3);
  fuzz.check(code == 0 && y.whole() && again.whole(), "dropout refused or wrote outside");
  for (int64_t i = 0; i < size; ++i) {
    fuzz.check(y.data()[i] == 0 || y.data()[i] == x[i] * 1.5f, "dropout: value");
    fuzz.check(y.data()[i] == again.data()[i], "dropout: threads");
  }
}

void batch(Fuzz& fuzz) {
  const int64_t num = 1 + fuzz.below(5), H = 1 + fuzz.below(6), W = 1 + fuzz.below(6);
  const int64_t C = 1 + fuzz.below(4), B = 1 + fuzz.below(40), oh = 1 + fuzz.below(7), ow = 3;
  std::vector<uint8_t> images(num * H * W * C);
  for (auto& value : images) value = static_cast<uint8_t>(fuzz.below(256));
  std::vector<int64_t> index(B);
  std::vector<int32_t> rows(B * oh), columns(B * ow);
  for (auto& i : index) i = fuzz.below(num);
  for (auto& i : rows) i = static_cast<int32_t>(fuzz.below(H));
  for (auto& i : columns) i = static_cast<int32_t>(fuzz.below(W));
  const auto table = fuzz.floats(C * 256);
  Guarded y(B * oh * ow * C);
  const auto gather = [&] {
    return striate_batch_gather(images.data(), index.data(), rows.data(), columns.data(),
                                table.data(), y.data(), num, H, W, C, B, oh, ow, 2);
  };
  fuzz.check(gather() == 0, "batch refused");
  std::vector<double> truth(y.size());
  for (int64_t o = 0; o < static_cast<int64_t>(truth.size()); ++o) {
    const int64_t c = o % C, w = o / C % ow, h = o / C / ow % oh, b = o / C / ow / oh;
    const int64_t at = (index[b] * H + rows[b * oh + h]) * W + columns[b * ow + w];
    truth[o] = table[c * 256 + images[at * C + c]];
  }
  fuzz.close(y, truth, 0, "batch");
  columns[fuzz.below(B * ow)] = static_cast<int32_t>(fuzz.below(2) ? -1 : W);
  fuzz.check(gather() != 0, "a column that does not exist");
  fuzz.check(y.whole(), "wrote outside");
}

void impossible(Fuzz& fuzz) {
  float one[64] = {};
  uint8_t place[64] = {};
  const auto apply = [&](int64_t rows, int64_t channels, int number, int threads) {
    return striate_norm_apply(one, nullptr, one, one, nullptr, nullptr, one, rows, channels, number,
                              threads);
  };
  fuzz.check(apply(0, 1, 0, 1) != 0, "no rows");
  fuzz.check(apply(1, -1, 0, 1) != 0, "negative channels");
  fuzz.check(apply(INT64_MAX, INT64_MAX, 0, 1) != 0, "more than there is");
  fuzz.check(apply(1, 1, 7, 1) != 0, "unknown activation");
  fuzz.check(apply(1, 1, 0, 0) != 0, "no threads");
  fuzz.check(striate_activation_value(one, one, 1, 7, 1) != 0, "unknown activation");
  fuzz.check(striate_activation_value(nullptr, one, 1, 0, 1) != 0, "no address");
  fuzz.check(striate_activation_gradient(one, one, one, -1, 0, 1) != 0, "negative size");
  fuzz.check(striate_norm_statistics(nullptr, one, one, 1, 1, 1) != 0, "no address");
  int64_t sizes[] = {1, 2, 2, 1, 1, 1, 2, 2, 2, 2, 0, 0, 1, 1};
  for (int i : {0, 3, 6, 8, 12}) {
    const int64_t kept = sizes[i];
    sizes[i] = 0;
    fuzz.check(striate_pool_max(one, one, place, sizes, 1) != 0, "pool: zero");
    sizes[i] = kept;
  }
  sizes[4] = 9;
  fuzz.check(striate_pool_max(one, one, place, sizes, 1) != 0, "windows beyond the image");
  fuzz.check(striate_dropout_apply(one, one, 1, 0, 65537, 1, 1) != 0, "more than all kept");
}

}  // namespace

FUZZ(fused, fuzz) {
  impossible(fuzz);
  for (int i = 0; i < fuzz.rounds; ++i) {
    norm(fuzz);
    activation(fuzz);
    pool(fuzz);
    dropout(fuzz);
    batch(fuzz);
  }
}
