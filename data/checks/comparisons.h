#pragma once
// Checks that compare examples with each other; used by data_report alone.
#include <optional>
#include <string>
#include <vector>

#include "data/checks/data_report.h"

namespace lathe {

// Everything that comparisons need, computed once.
struct Folded {
  std::vector<const Example*> examples;  // training first
  std::vector<std::string> whole, asked, answer;
  std::size_t train = 0;
};

// Counts one more example; the first three are named.
void note(Finding& finding, const std::string& origin);
// exact_duplicate, near_duplicate, conflict, leak and near_leak; with count 0 where there are none.
std::vector<Finding> compare_examples(const Folded& all);
// Of every validation example the training example that it, or its question, is too.
std::vector<std::optional<std::size_t>> twins_in_training(const Folded& all);

}  // namespace lathe
