// Memory for intermediate results that is kept from call to call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace striate {

constexpr size_t CACHE_LINE = 64;

// Grows and never shrinks, one for each calling thread: after the first call of a size no memory is
// asked from the system. What it holds lasts until the next call of a kernel from the same thread;
// threads that run the parts write to slices of their caller's arena.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { std::free(memory_); }

  // At least `bytes`, aligned to a cache line and of undefined content; null where there are none.
  void* reserve(size_t bytes) {
    if (bytes > size_) {
      std::free(memory_);
      memory_ = nullptr;
      size_ = 0;
      // Huge pages spare the address translation that streams through megabytes otherwise pay for.
      constexpr size_t huge = size_t{1} << 21;
      const size_t alignment = bytes >= huge ? huge : CACHE_LINE;
      const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
      if (posix_memalign(&memory_, alignment, rounded) != 0) {
        memory_ = nullptr;
        return nullptr;
      }
#if defined(__linux__) && defined(MADV_HUGEPAGE)
      if (alignment == huge) madvise(memory_, rounded, MADV_HUGEPAGE);
#endif
      size_ = rounded;
    }
    return memory_;
  }

 private:
  void* memory_ = nullptr;
  size_t size_ = 0;
};

inline Arena& arena() {
  static thread_local Arena own;
  return own;
}

// Lays out an arena: add() every slice first, then allocate(), then at() gives the slices.
//
//   Scratch scratch;
//   const size_t sums = scratch.add<float>(channels * threads);
//   if (!scratch.allocate()) return 2;
//   float* p = scratch.at<float>(sums);
class Scratch {
 public:
  template <typename T>
  size_t add(size_t count) {
    const size_t offset = size_;
    // One line between slices, so that equal offsets in power-of-two slices fall into other sets.
    size_ += (count * sizeof(T) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE + CACHE_LINE;
    return offset;
  }

  bool allocate() {
    base_ = static_cast<char*>(arena().reserve(size_ ? size_ : CACHE_LINE));
    return base_ != nullptr;
  }

  template <typename T>
  T* at(size_t offset) const {
    return reinterpret_cast<T*>(base_ + offset);
  }

 private:
  size_t size_ = 0;
  char* base_ = nullptr;
};

}  // namespace striate
