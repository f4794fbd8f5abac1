#include "trainer/allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

namespace lathe {

namespace {

constexpr std::size_t kLarge = std::size_t{64} << 10, kPage = 4096, kAlignment = 64;
// Blocks from here on are asked for in huge pages. With all from 2 MiB on steps were not faster (13.8 M and 5
// M Llama types, LoRA on 82 M), and the first came 0.3 to 0.6 s later on a virtual machine that gives free
// huge pages back to its host.
constexpr std::size_t kHuge = std::size_t{64} << 20;

class BlockCache {
 public:
  void* take(std::size_t bytes) {
    std::size_t size = allocation_class(bytes);
    const std::lock_guard lock(mutex_);
    void* block = nullptr;
    if (const auto found = free_.take(size)) {
      size = found->first;
      block = found->second;
    } else {
      peak_ = std::max(peak_, in_use_ + size);
      keep_at_most(most_held(peak_, slack_) - in_use_ - size);
      block = map(size);
    }
    sizes_[block] = size;
    in_use_ += size;
    peak_ = std::max(peak_, in_use_);
    return block;
  }

  // False when the block is none of ours.
  bool give(void* block) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(block);
    if (found == sizes_.end()) return false;
    const std::size_t size = found->second;
    sizes_.erase(found);
    in_use_ -= size;
    free_.put(size, block);
    keep_at_most(most_held(peak_, slack_) - in_use_);
    return true;
  }

  AllocatorUse use() {
    const std::lock_guard lock(mutex_);
    return {in_use_, free_.bytes(), peak_};
  }

  std::map<std::size_t, std::size_t> free_counts() {
    const std::lock_guard lock(mutex_);
    return free_.counts();
  }

  void set_slack(Slack slack) {
    const std::lock_guard lock(mutex_);
    slack_ = slack;
    peak_ = in_use_;
    keep_at_most(most_held(peak_, slack_) - in_use_);
  }

  // Unmaps what is free beyond these counts.
  void trim(const std::map<std::size_t, std::size_t>& counts) {
    const std::lock_guard lock(mutex_);
    free_.trim(counts, unmap);
  }

 private:
  static void unmap(std::size_t size, void* block) { munmap(block, size); }

  void keep_at_most(std::size_t bytes) { free_.shrink(bytes, unmap); }

  void* map(std::size_t size) {
    void* block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) {
      keep_at_most(0);  // what other sizes keep may be what is missing
      block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (block == MAP_FAILED) throw std::bad_alloc();
    }
    if (size >= kHuge) madvise(block, size, MADV_HUGEPAGE);
    return block;
  }

  std::mutex mutex_;
  FreeBlocks<void*> free_;
  std::unordered_map<void*, std::size_t> sizes_;  // of the blocks in use
  std::size_t in_use_ = 0, peak_ = 0;
  Slack slack_ = Slack::Quarter;
};

BlockCache& cache() {
  static auto* const blocks = new BlockCache;  // outlives every tensor, static ones too
  return *blocks;
}

// One deleter for all, because callers of raw_allocate() (oneDNN's scratch) have only the pointer. Large
// blocks are whole pages; a small one that happens to begin a page is told apart by the cache's table.
void free_block(void* block) {
  if (block == nullptr) return;
  if (reinterpret_cast<std::uintptr_t>(block) % kPage == 0 && cache().give(block)) return;
  std::free(block);
}

class StepAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    void* block = nullptr;
    if (bytes >= kLarge) {
      block = cache().take(bytes);
    } else if (bytes > 0 && posix_memalign(&block, kAlignment, bytes) != 0) {
      throw std::bad_alloc();
    }
    return {block, block, &free_block, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

}  // namespace

std::size_t allocation_class(std::size_t bytes) {
  std::size_t power = kPage;
  while (power * 2 <= bytes) power *= 2;
  const std::size_t step = std::max(kPage, power / 8);
  return (bytes + step - 1) / step * step;
}

AllocatorUse allocator_use() { return cache().use(); }

AllocatorScope::AllocatorScope() : before_(cache().free_counts()) {}
AllocatorScope::~AllocatorScope() { cache().trim(before_); }

void keep_free_blocks(Slack slack) { cache().set_slack(slack); }

void release_free_blocks() { cache().trim({}); }

void install_allocator() {
  static StepAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/200);
}

}  // namespace lathe
