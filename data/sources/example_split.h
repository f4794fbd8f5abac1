#pragma once
// Which examples are held out. Examples that are nearly the same, or that ask the same, stay on one side,
// else the held-out score measures memory. A function of contents and seed alone: the order of the file does
// not matter.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/sources/example.h"

namespace lathe {

struct ExampleSplit {
  std::vector<bool> held;  // one an example
  std::size_t groups = 0;  // of related examples, those that stand alone included
  std::size_t broken = 0;  // groups on both sides, because no union of whole groups has the wanted size
};
// Holds out exactly round(share * n) examples. Error when that is none or all of them, or when all are
// related.
ExampleSplit hold_out(const std::vector<Example>& examples, double share, std::uint64_t seed);

// For each example its fold, 0 .. folds - 1. Whole groups; sizes differ by at most one unless a group is
// larger than a fold. Error when there are fewer groups than folds, or folds < 2.
std::vector<std::uint32_t> fold_examples(const std::vector<Example>& examples, std::uint32_t folds,
                                         std::uint64_t seed);

}  // namespace lathe
