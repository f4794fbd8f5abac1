#include "models/ops/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace lathe {

void parallel_ranges(std::int64_t count, std::int64_t grain,
                     const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  at::parallel_for(0, count, std::max<std::int64_t>(grain, 1), body);
}

void parallel_tasks(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  std::atomic<std::int64_t> next{0};
  parallel_ranges(std::min<std::int64_t>(count, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
    for (std::int64_t task = next++; task < count; task = next++) body(task);
  });
}

}  // namespace lathe
