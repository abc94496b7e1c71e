// Activations alone: one pass over memory each way, in any layout without gaps.
#include <algorithm>
#include <cstdint>

#include "elementary.hpp"
#include "parallel.hpp"
#include "stream.hpp"

namespace striate {
namespace {

// Calls body(i, lanes) for all vectors of `size` values; `lanes` is a constant where one is whole.
template <typename F>
void for_values(int64_t size, int threads, F&& body) {
  const int64_t vectors = (size + LANES - 1) / LANES;
  const int64_t share = 16384;  // values that pay for handing over a part
  const int parts = static_cast<int>(std::clamp<int64_t>(size / share, 1, 64));
  parallel(parts, threads, [&](int part) {
    const Range range = piece(vectors, parts, part);
    int64_t i = range.begin * LANES;
    for (; i + LANES <= std::min<int64_t>(range.end * LANES, size); i += LANES)
      body(i, std::integral_constant<int, LANES>{});
    if (range.end == vectors && i < size) body(i, static_cast<int>(size - i));
    drain();
  });
}

}  // namespace
}  // namespace striate

using namespace striate;

extern "C" {

// y = act(x).
int striate_activation_value(const float* x, float* y, int64_t size, int activation, int threads) {
  if (size < 0 || threads < 1 || (size > 0 && (!x || !y))) return 1;
  const bool far = goes_far(y, size);
  const bool known = with_activation(activation, [&](auto act) {
    using Act = decltype(act);
    for_values(size, threads, [&](int64_t i, auto lanes) {
      store_far(y + i, Act::value(load_some(x + i, lanes)), lanes, far);
    });
  });
  return known ? 0 : 1;
}

// dx = grad act'(x).
int striate_activation_gradient(const float* grad, const float* x, float* dx, int64_t size,
                                int activation, int threads) {
  if (size < 0 || threads < 1 || (size > 0 && (!grad || !x || !dx))) return 1;
  const bool far = goes_far(dx, size);
  const bool known = with_activation(activation, [&](auto act) {
    using Act = decltype(act);
    for_values(size, threads, [&](int64_t i, auto lanes) {
      const vec g = load_some(grad + i, lanes);
      store_far(dx + i, Act::gradient(g, load_some(x + i, lanes)), lanes, far);
    });
  });
  return known ? 0 : 1;
}

}  // extern "C"
