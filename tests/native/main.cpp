// fuzz ROUNDS SEED: runs every family; the exit status tells whether all agreed.
#include <cstdlib>

#include "fuzz.hpp"

int main(int count, char** words) {
  const int rounds = count > 1 ? std::atoi(words[1]) : 20;
  const unsigned seed = count > 2 ? static_cast<unsigned>(std::atoi(words[2])) : 0;
  int failures = 0;
  for (const Family& family : families()) {
    Fuzz fuzz(seed, rounds);
    family.run(fuzz);
    std::printf("%s: %d failures in %d rounds\n", family.name, fuzz.failures, rounds);
    failures += fuzz.failures;
  }
  return failures ? 1 : 0;
}
