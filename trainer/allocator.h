#pragma once
// Memory of tensors. A training step asks for the same sizes again and again: blocks of 64 KiB and more are
// kept in free lists (trainer/free_blocks.h) and never split, so that memory stays what one step needs,
// without glibc's fragmentation (measured: 1.1 GB of heap for 0.35 GB in use after 250 steps) and without
// faulting pages in again. Thread-safe.
#include <cstddef>
#include <map>

#include "trainer/free_blocks.h"

namespace lathe {

// Makes it LibTorch's CPU allocator. Call once, before the first tensor.
void install_allocator();

// The size class of a request: at most an eighth more than asked for, a multiple of the page.
std::size_t allocation_class(std::size_t bytes);

struct AllocatorUse {
  std::size_t in_use = 0, cached = 0, most_in_use = 0;  // bytes of large blocks
};
AllocatorUse allocator_use();

// For work between training steps, such as evaluation and answers, whose sizes a step does not ask for: when
// it ends, free blocks beyond those that were free before go back to the kernel, and the step finds its own
// where they were.
class AllocatorScope {
 public:
  AllocatorScope();
  AllocatorScope(const AllocatorScope&) = delete;
  AllocatorScope& operator=(const AllocatorScope&) = delete;
  ~AllocatorScope();

 private:
  std::map<std::size_t, std::size_t> before_;  // size class -> free blocks
};

// Another training begins: how much may stay free beyond the most that is in use from now on (Slack::Quarter
// before the first call). What is above it goes back to the kernel.
void keep_free_blocks(Slack slack);

// All free blocks go back to the kernel: training is over.
void release_free_blocks();

}  // namespace lathe
