#pragma once
// parallel_for over indices with plain threads; results must not depend on how many there are.
#include <cstddef>
#include <functional>

namespace lathe {

int hardware_threads();  // cores this process may use (affinity and cgroup quota), at least 1
// Calls body(i) for i in [0, count) on up to `threads` threads (0: all); rethrows the first exception.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& body);

}  // namespace lathe
