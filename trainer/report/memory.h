#pragma once
// The readers behind memory_use() and memory_limit() of metrics.h, on given texts so that they can be tested.
#include <cstdint>
#include <istream>
#include <string>

#include "trainer/report/metrics.h"

namespace lathe {

MemoryUse parse_memory_status(std::istream& status);  // the text of /proc/self/status
// Lowest limit of the groups in /proc/self/cgroup's text under `mount` (version 2, version 1, both),
// INT64_MAX when none.
std::int64_t cgroup_memory_limit(std::istream& groups, const std::string& mount);

}  // namespace lathe
