#include "trainer/allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

namespace lathe {

namespace {

constexpr std::size_t kLarge = std::size_t{64} << 10, kPage = 4096, kHuge = std::size_t{2} << 20, kAlignment = 64;
constexpr std::size_t kCacheFloor = std::size_t{128} << 20;

class BlockCache {
 public:
  void* take(std::size_t bytes) {
    const std::size_t size = allocation_class(bytes);
    const std::lock_guard lock(mutex_);
    void* block = nullptr;
    auto& free_blocks = free_[size];
    if (!free_blocks.empty()) {
      block = free_blocks.back();
      free_blocks.pop_back();
      use_.cached -= size;
    } else {
      block = map(size);
    }
    sizes_[block] = size;
    use_.in_use += size;
    peak_ = std::max(peak_, use_.in_use);
    return block;
  }

  void give(void* block) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(block);
    const std::size_t size = found->second;
    sizes_.erase(found);
    use_.in_use -= size;
    use_.cached += size;
    free_[size].push_back(block);
    if (use_.in_use + use_.cached > peak_ + kCacheFloor) release();
  }

  AllocatorUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  void* map(std::size_t size) {
    void* block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) {
      release();   // what other sizes keep may be what is missing
      block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (block == MAP_FAILED) throw std::bad_alloc();
    }
    if (size >= kHuge) madvise(block, size, MADV_HUGEPAGE);
    return block;
  }

  // Sizes that are no longer asked for: everything free goes back to the kernel.
  void release() {
    for (auto& [size, blocks] : free_) {
      for (void* block : blocks) munmap(block, size);
      use_.cached -= size * blocks.size();
      blocks.clear();
    }
  }

  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::unordered_map<void*, std::size_t> sizes_;   // of the blocks in use
  AllocatorUse use_;
  std::size_t peak_ = 0;
};

BlockCache& cache() {
  static auto* const blocks = new BlockCache;   // outlives every tensor, static ones too
  return *blocks;
}

void free_large(void* block) { cache().give(block); }
void free_small(void* block) { std::free(block); }

class StepAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &free_small, cpu};
    if (bytes >= kLarge) {
      void* block = cache().take(bytes);
      return {block, block, &free_large, cpu};
    }
    void* block = nullptr;
    if (posix_memalign(&block, kAlignment, bytes) != 0) throw std::bad_alloc();
    return {block, block, &free_small, cpu};
  }
  // Two deleters are in use, so there is no single one for raw pointers.
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }
};

}  // namespace

std::size_t allocation_class(std::size_t bytes) {
  std::size_t power = kPage;
  while (power * 2 <= bytes) power *= 2;
  const std::size_t step = std::max(kPage, power / 8);
  return (bytes + step - 1) / step * step;
}

AllocatorUse allocator_use() { return cache().use(); }

void install_allocator() {
  static StepAllocator allocator;
  c10::SetCPUAllocator(&allocator, /*priority=*/200);
}

}  // namespace lathe
