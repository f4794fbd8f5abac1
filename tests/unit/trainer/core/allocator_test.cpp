#include "trainer/allocator.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CPUAllocator.h>

#include "tests/catch.h"

using namespace lathe;

TEST_CASE("size classes hold the request and waste at most an eighth") {
  for (std::size_t bytes = std::size_t{64} << 10; bytes < std::size_t{1} << 34; bytes = bytes * 9 / 7 + 13) {
    const std::size_t size = allocation_class(bytes);
    CHECK(size >= bytes);
    CHECK(size <= bytes + bytes / 8 + 4096);
    CHECK(size % 4096 == 0);
    CHECK(allocation_class(size) == size);
  }
}

TEST_CASE("blocks are kept for the next request of their class and counted") {
  install_allocator();
  const AllocatorUse before = allocator_use();
  void* first = nullptr;
  {
    const at::Tensor tensor = at::ones({1 << 20});
    first = tensor.data_ptr();
    CHECK(allocator_use().in_use == before.in_use + (std::size_t{4} << 20));
    CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  }
  CHECK(allocator_use().in_use == before.in_use);
  CHECK(allocator_use().cached >= std::size_t{4} << 20);
  const at::Tensor again = at::zeros({1 << 20});
  CHECK(again.data_ptr() == first);
  CHECK(again.abs().max().item<float>() == 0);
}

TEST_CASE("raw pointers of every size can be given back") {
  install_allocator();
  c10::Allocator* allocator = c10::GetCPUAllocator();
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{4096}, std::size_t{65535}, std::size_t{65536}, std::size_t{5} << 20}) {
    void* block = allocator->raw_allocate(bytes);
    REQUIRE(block != nullptr);
    allocator->raw_deallocate(block);
  }
  const AllocatorUse use = allocator_use();
  CHECK(use.cached >= std::size_t{5} << 20);
}

TEST_CASE("sizes that are no longer asked for go back to the kernel") {
  install_allocator();
  const std::size_t peak = std::size_t{600} << 20;
  for (std::int64_t mega = 16; mega < 200; mega += 3) at::empty({mega << 18});
  const AllocatorUse use = allocator_use();
  CHECK(use.in_use + use.cached < peak);
}

TEST_CASE("a block up to a quarter larger serves") {
  install_allocator();
  release_free_blocks();
  void* first = nullptr;
  {
    const at::Tensor tensor = at::empty({40 << 18});
    first = tensor.data_ptr();
  }
  CHECK(at::empty({32 << 18}).data_ptr() == first);
  CHECK(at::empty({30 << 18}).data_ptr() != first);
  release_free_blocks();
}

TEST_CASE("what may be held is 32 MB or a quarter above the most in use, as the training needs") {
  const std::size_t mega = std::size_t{1} << 20;
  CHECK(slack_of_training(/*frozen_base=*/true) == Slack::Least);
  CHECK(slack_of_training(/*frozen_base=*/false) == Slack::Quarter);
  CHECK(most_held(100 * mega, Slack::Quarter) == 132 * mega);
  CHECK(most_held(400 * mega, Slack::Quarter) == 500 * mega);
  CHECK(most_held(400 * mega, Slack::Least) == 432 * mega);
}

TEST_CASE("little stays free beyond the most that was in use, and less once less is asked for") {
  install_allocator();
  release_free_blocks();
  keep_free_blocks(Slack::Quarter);
  const auto pass = [] {  // a block that is too large to serve the next
    at::empty({320 << 20}, at::kByte);
    at::empty({60 << 20}, at::kByte);
    return allocator_use();
  };
  const AllocatorUse quarter = pass();
  CHECK(quarter.in_use + quarter.cached <= most_held(quarter.most_in_use, Slack::Quarter));
  CHECK(quarter.in_use + quarter.cached > most_held(quarter.most_in_use, Slack::Least));
  keep_free_blocks(Slack::Least);
  CHECK(allocator_use().most_in_use == allocator_use().in_use);
  CHECK(allocator_use().cached <= std::size_t{32} << 20);
  const AllocatorUse least = pass();
  CHECK(least.most_in_use == quarter.most_in_use);
  CHECK(least.in_use + least.cached <= most_held(least.most_in_use, Slack::Least));
  keep_free_blocks(Slack::Quarter);
  release_free_blocks();
}

TEST_CASE("a scope gives back what it left free and keeps what was free before") {
  install_allocator();
  at::empty({256 << 20}, at::kByte);  // the most in use: all below may stay free
  release_free_blocks();
  void* first = nullptr;
  {
    const at::Tensor step = at::ones({3 << 20});
    first = step.data_ptr();
  }
  const AllocatorUse before = allocator_use();
  at::Tensor kept;
  {
    const AllocatorScope scope;
    kept = at::ones({7 << 18});
    for (std::int64_t mega = 5; mega < 20; mega += 4) at::empty({mega << 18});
    const at::Tensor step = at::ones({3 << 20});
    CHECK(step.data_ptr() == first);
    CHECK(allocator_use().cached > before.cached);
  }
  CHECK(allocator_use().cached == before.cached);
  CHECK(allocator_use().in_use == before.in_use + (std::size_t{7} << 20));
  CHECK(kept.sum().item<float>() == 7 << 18);
  CHECK(at::empty({3 << 20}).data_ptr() == first);
  release_free_blocks();
  CHECK(allocator_use().cached == 0);
}
