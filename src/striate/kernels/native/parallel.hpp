// Runs the parts of a piece of work on several threads.
//
// Results may depend on how many parts there are, never on which thread runs which part or when:
// that is what makes a run repeat bit for bit.
#pragma once

#include <type_traits>

namespace striate {

// Runs task(context, part) once for each part = 0 .. parts - 1 and returns when all are done.
void run_parts(int parts, int threads, void (*task)(void*, int), void* context);

template <typename F>
void parallel(int parts, int threads, F&& body) {
  using Body = std::remove_reference_t<F>;
  run_parts(
      parts, threads, [](void* context, int part) { (*static_cast<Body*>(context))(part); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// The usual case: as many threads as parts.
template <typename F>
void parallel(int parts, F&& body) {
  parallel(parts, parts, static_cast<F&&>(body));
}

// The `part`-th of `parts` nearly equal, contiguous pieces of 0 .. size - 1.
struct Range {
  long begin, end;
};

inline Range piece(long size, int parts, int part) {
  const long share = size / parts, rest = size % parts;
  const long begin = share * part + (part < rest ? part : rest);
  return {begin, begin + share + (part < rest ? 1 : 0)};
}

}  // namespace striate
