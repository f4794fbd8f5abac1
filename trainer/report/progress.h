#pragma once
// The lines that Progress prints, as functions of what they show.
#include <cstdint>
#include <string>

namespace lathe {

struct ProgressView {
  std::int64_t step = 0, total = 0;  // total 0: not known
  double loss = 0, learning_rate = 0, grad_norm = 0, tokens_per_second = 0;
  std::string rate_unit = "tok/s";
  double memory = 0;      // bytes resident
  double remaining = -1;  // seconds; below 0: not known
};

struct LineStyle {
  int columns = 80;
  bool colour = false, unicode = false;
};

// Exactly columns - 1 characters (escape sequences aside): the cursor then stays in the line. Numbers keep
// their places from step to step; what does not fit is left out, the least useful first.
std::string live_line(const ProgressView& view, const LineStyle& style);
std::string plain_line(const ProgressView& view);

}  // namespace lathe
