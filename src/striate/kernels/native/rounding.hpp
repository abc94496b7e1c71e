// Division to whole numbers.
#pragma once

namespace striate {

constexpr long round_up(long value, long unit) { return (value + unit - 1) / unit * unit; }

// The least whole number not below value / unit, for unit > 0 and any value.
constexpr long divide_up(long value, long unit) {
  return value >= 0 ? (value + unit - 1) / unit : -(-value / unit);
}

}  // namespace striate
