#pragma once
// Loops over ranges on torch's own thread pool (OpenMP; at::get_num_threads()). The split depends on count,
// grain and the number of threads alone. Compiled in one file because only that one is built with OpenMP.
#include <cstdint>
#include <functional>

namespace lathe {

// body(begin, end) over [0, count) in contiguous parts of at least `grain`; runs serially inside another
// parallel loop.
void parallel_ranges(std::int64_t count, std::int64_t grain,
                     const std::function<void(std::int64_t begin, std::int64_t end)>& body);

// body(task) for every task, each taken by the next free thread: for tasks of uneven size whose results do
// not depend on one another.
void parallel_tasks(std::int64_t count, const std::function<void(std::int64_t task)>& body);

// At least `bytes` of working memory of this thread, 64-byte aligned, kept between calls; what it held is
// lost.
void* thread_memory(std::int64_t bytes);

}  // namespace lathe
