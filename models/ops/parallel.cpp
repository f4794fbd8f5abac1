#include "models/ops/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <exception>

namespace lathe {

void parallel_ranges(std::int64_t count, std::int64_t grain,
                     const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  at::parallel_for(0, count, std::max<std::int64_t>(grain, 1), body);
}

}  // namespace lathe
