#include <algorithm>
#include <cmath>
#include <numbers>

#include "recipes/schema/error.h"
#include "trainer/optim/optimizer.h"

namespace lathe {

double schedule_factor(const ScheduleSection& schedule, std::int64_t step, std::int64_t total) {
  if (step < schedule.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  if (schedule.name == "constant") return 1;
  const double low = schedule.min_lr_ratio;
  if (schedule.name == "wsd") {
    const auto decaying =
        static_cast<std::int64_t>(std::llround(schedule.decay_ratio * static_cast<double>(total)));
    const std::int64_t start = std::max(total - decaying, schedule.warmup_steps);
    if (step < start) return 1;
    const double progress =
        static_cast<double>(step - start + 1) / static_cast<double>(std::max<std::int64_t>(total - start, 1));
    return 1 - (1 - low) * std::min(progress, 1.0);
  }
  // 0 at the first step after warm-up, 1 at the last one
  const std::int64_t span = total - 1 - schedule.warmup_steps;
  const double progress =
      span <= 0
          ? 0
          : std::min(static_cast<double>(step - schedule.warmup_steps) / static_cast<double>(span), 1.0);
  if (schedule.name == "linear") return 1 - (1 - low) * progress;
  require(schedule.name == "cosine", "schedule: '", schedule.name,
          "' is none of constant, linear, cosine, wsd");
  return low + (1 - low) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace lathe
