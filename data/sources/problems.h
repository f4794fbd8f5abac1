#pragma once
// Collects what is wrong with a file, so that its owner sees everything in one pass instead of one error a
// run.
#include <cstddef>
#include <string>
#include <vector>

#include "recipes/schema/error.h"

namespace lathe {

class Problems {
 public:
  template <class... Parts>
  void add(Parts&&... parts) {
    if (texts_.size() < kShown) texts_.push_back(cat(std::forward<Parts>(parts)...));
    ++count_;
  }
  std::size_t count() const { return count_; }
  // Error with the first ten, one a line, and how many more there are; nothing when there are none.
  void raise() const {
    if (count_ == 0) return;
    std::string all;
    for (const auto& text : texts_) all += (all.empty() ? "" : "\n") + text;
    if (count_ > texts_.size()) all += cat("\nand ", count_ - texts_.size(), " more like these");
    fail_usage(all);
  }

 private:
  static constexpr std::size_t kShown = 10;
  std::vector<std::string> texts_;
  std::size_t count_ = 0;
};

}  // namespace lathe
