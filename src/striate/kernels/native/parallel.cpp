#include "parallel.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace striate {
namespace {

// GOMP_parallel of the OpenMP library that torch uses: with it the process has one pool of
// threads. libgomp, LLVM's and Intel's OpenMP libraries all export it.
using Gomp = void (*)(void (*)(void*), void*, unsigned, unsigned);
std::atomic<Gomp> gomp{nullptr};

// More threads than this are a mistake of the caller.
constexpr int MOST_THREADS = 1024;

struct Work {
  void (*task)(void*, int);
  void* context;
  int parts;
  std::atomic<int> next{0};

  void run() {
    for (int part; (part = next.fetch_add(1, std::memory_order_relaxed)) < parts;)
      task(context, part);
  }
};

// A part that asks for parts runs them itself.
thread_local bool inside = false;

// Threads of our own, for a process without a known OpenMP library. They are started when first
// asked for and never end: waiting threads cost nothing, and a library cannot join at exit safely.
class Pool {
 public:
  void run(Work& work, int helpers) {
    std::lock_guard<std::mutex> one_caller(callers_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (started_ < helpers) {
        try {
          std::thread([this, index = started_] { serve(index); }).detach();
        } catch (...) {
          break;  // no more threads to be had: the caller does the rest itself
        }
        ++started_;
      }
      work_ = &work;
      wanted_ = helpers < started_ ? helpers : started_;
      busy_ = wanted_;
      ++round_;
    }
    wake_.notify_all();
    work.run();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void serve(int index) {
    inside = true;
    long seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return round_ != seen && index < wanted_; });
      seen = round_;
      Work* work = work_;
      lock.unlock();
      work->run();
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex callers_, mutex_;
  std::condition_variable wake_, done_;
  Work* work_ = nullptr;
  long round_ = 0;
  int started_ = 0, wanted_ = 0, busy_ = 0;
};

std::atomic<Pool*> pool{nullptr};
Pool& our_pool() {
  static std::mutex once;
  Pool* current = pool.load();
  if (!current) {
    std::lock_guard<std::mutex> lock(once);
    current = pool.load();
    if (!current) {
#if !defined(_WIN32)
      // A child process has none of its parent's threads: it makes its own pool.
      static const int handler = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); });
      (void)handler;
#endif
      current = new Pool;  // lives as long as its threads: for ever
      pool.store(current);
    }
  }
  return *current;
}

}  // namespace

void run_parts(int parts, int threads, void (*task)(void*, int), void* context) {
  if (threads > parts) threads = parts;
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  Work work{task, context, parts};
  if (threads <= 1 || inside) {
    work.run();
  } else if (Gomp start = gomp.load(std::memory_order_relaxed)) {
    start([](void* data) { static_cast<Work*>(data)->run(); }, &work,
          static_cast<unsigned>(threads), 0);
  } else {
    inside = true;
    our_pool().run(work, threads - 1);
    inside = false;
  }
}

}  // namespace striate

// Hands over torch's thread runtime; null goes back to threads of our own.
extern "C" void striate_use_openmp(void* gomp_parallel) {
  striate::gomp.store(reinterpret_cast<striate::Gomp>(gomp_parallel));
}
