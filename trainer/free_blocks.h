#pragma once
// Blocks that are free and kept for reuse, by size: the rule that trainer/allocator.cpp follows and that the
// books of `lathe plan` repeat. A request takes the block given back last among those of its size, or up to a
// quarter larger (batches of tuning differ in length); too many are given up oldest first. Not thread-safe.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace lathe {

// How much may stay free beyond the most that was in use: 32 MB, or a quarter of it where that is more. With
// 32 MB, steps that train all weights map and clear the same pages again and again (5 % of a step of
// pretraining); adapters on a frozen base live on little, and would only hold what they never need.
enum class Slack { Quarter, Least };

constexpr Slack slack_of_training(bool frozen_base) { return frozen_base ? Slack::Least : Slack::Quarter; }

// What may be in use and free together.
constexpr std::size_t most_held(std::size_t most_in_use, Slack slack) {
  const std::size_t least = std::size_t{32} << 20;
  return most_in_use + (slack == Slack::Least ? least : std::max(least, most_in_use / 4));
}

template <class Block>
class FreeBlocks {
 public:
  std::size_t bytes() const { return bytes_; }
  const std::map<std::size_t, std::size_t>& counts() const { return counts_; }

  // A block and its size, at least `size`; nothing when none serves.
  std::optional<std::pair<std::size_t, Block>> take(std::size_t size) {
    const auto found = lists_.lower_bound(size);
    if (found == lists_.end() || found->first > size + size / 4) return std::nullopt;
    std::pair<std::size_t, Block> block{found->first, found->second.back().block};
    found->second.pop_back();
    drop(found->first);
    return block;
  }

  void put(std::size_t size, Block block) {
    lists_[size].push_back({next_++, block});
    counts_[size] += 1;
    bytes_ += size;
  }

  // Gives up the oldest until at most `limit` bytes are free; unmap(size, block) for each.
  template <class Unmap>
  void shrink(std::size_t limit, Unmap&& unmap) {
    while (bytes_ > limit) {
      auto oldest = lists_.begin();
      for (auto list = lists_.begin(); list != lists_.end(); ++list)
        if (list->second.front().age < oldest->second.front().age) oldest = list;
      give_up(oldest, unmap);
    }
  }

  // Gives up what is free beyond these counts of each size.
  template <class Unmap>
  void trim(const std::map<std::size_t, std::size_t>& kept, Unmap&& unmap) {
    std::vector<std::size_t> sizes;
    for (const auto& [size, count] : counts_) sizes.push_back(size);
    for (const std::size_t size : sizes) {
      const auto found = kept.find(size);
      while (counts_.count(size) > 0 && counts_[size] > (found == kept.end() ? 0 : found->second))
        give_up(lists_.find(size), unmap);
    }
  }

 private:
  struct Entry {
    std::uint64_t age;
    Block block;
  };
  using Lists = std::map<std::size_t, std::vector<Entry>>;  // none is empty; the oldest first

  template <class Unmap>
  void give_up(typename Lists::iterator list, Unmap&& unmap) {
    const std::size_t size = list->first;
    const Block block = list->second.front().block;
    list->second.erase(list->second.begin());
    drop(size);
    unmap(size, block);
  }

  void drop(std::size_t size) {
    bytes_ -= size;
    if (--counts_[size] > 0) return;
    counts_.erase(size);
    lists_.erase(size);
  }

  Lists lists_;
  std::map<std::size_t, std::size_t> counts_;
  std::size_t bytes_ = 0;
  std::uint64_t next_ = 0;
};

}  // namespace lathe
