#include "trainer/tuning_rate.h"

#include <algorithm>
#include <cmath>

namespace lathe {

double tuning_rate(std::int64_t width, bool adapter) {
  const double ratio = std::max(1.0, 2048 / static_cast<double>(width));
  const double rate = adapter ? 2e-4 * std::sqrt(ratio) : 1.75e-5 * ratio;
  const double unit = std::pow(10.0, std::floor(std::log10(rate)) - 1);
  return std::round(rate / unit) * unit;
}

}  // namespace lathe
