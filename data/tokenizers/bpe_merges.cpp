#include "data/tokenizers/bpe_merges.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace lathe {
namespace {

constexpr std::size_t kScanLimit = 40;  // symbols; above, the heap is faster
constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

void merge_by_scanning(const MergeTable& merges, std::vector<Symbol>& symbols) {
  MergeTable::Merge next[kScanLimit];  // next[i] merges i with i + 1; rank kNone: no such merge
  std::size_t count = symbols.size();
  const auto look = [&](std::size_t i) {
    const auto* merge = i + 1 < count ? merges.find(symbols[i].id, symbols[i + 1].id) : nullptr;
    next[i] = merge ? *merge : MergeTable::Merge{kNone, 0};
  };
  for (std::size_t i = 0; i < count; ++i) look(i);
  for (;;) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (next[i].rank < next[best].rank) best = i;
    }
    if (count < 2 || next[best].rank == kNone) break;
    symbols[best].id = next[best].id;
    symbols[best].end = symbols[best + 1].end;
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      next[i] = next[i + 1];
    }
    --count;
    look(best);
    if (best > 0) look(best - 1);
  }
  symbols.resize(count);
}

class HeapMerger {
 public:
  HeapMerger(const MergeTable& merges, std::vector<Symbol>& symbols)
      : merges_(merges), symbols_(symbols), links_(symbols.size()) {
    const auto count = static_cast<std::uint32_t>(symbols.size());
    for (std::uint32_t i = 0; i < count; ++i)
      links_[i] = {i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1};
    for (std::uint32_t i = 0; i + 1 < count; ++i) offer(i);
  }

  void run() {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      if (is_current(top)) apply(top);
    }
    compact();
  }

 private:
  struct Candidate {
    std::uint32_t rank, position;
    TokenId left, right, id;
    bool operator<(const Candidate& other) const {  // std::priority_queue keeps the largest on top
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  struct Link {
    std::uint32_t previous, next;
  };

  void offer(std::uint32_t position) {
    const std::uint32_t next = links_[position].next;
    if (next == kNone) return;
    const TokenId left = symbols_[position].id, right = symbols_[next].id;
    if (const auto* merge = merges_.find(left, right))
      heap_.push({merge->rank, position, left, right, merge->id});
  }
  bool is_current(const Candidate& c) const {
    if (symbols_[c.position].end == kNone) return false;
    const std::uint32_t next = links_[c.position].next;
    return next != kNone && symbols_[c.position].id == c.left && symbols_[next].id == c.right;
  }
  void apply(const Candidate& c) {
    const std::uint32_t gone = links_[c.position].next, after = links_[gone].next;
    symbols_[c.position].id = c.id;
    symbols_[c.position].end = symbols_[gone].end;
    symbols_[gone].end = kNone;
    links_[c.position].next = after;
    if (after != kNone) links_[after].previous = c.position;
    offer(c.position);
    if (links_[c.position].previous != kNone) offer(links_[c.position].previous);
  }
  void compact() {
    const auto dead = [](const Symbol& s) { return s.end == kNone; };
    symbols_.erase(std::remove_if(symbols_.begin(), symbols_.end(), dead), symbols_.end());
  }

  const MergeTable& merges_;
  std::vector<Symbol>& symbols_;
  std::vector<Link> links_;
  std::priority_queue<Candidate> heap_;
};

}  // namespace

void MergeTable::reserve(std::size_t count) {
  std::size_t capacity = 16;
  while (capacity < 2 * count) capacity *= 2;
  if (capacity > slots_.size()) rebuild(capacity);
}

void MergeTable::rebuild(std::size_t capacity) {
  std::vector<Slot> old(capacity);
  old.swap(slots_);
  mask_ = capacity - 1;
  count_ = 0;
  for (const Slot& slot : old) {
    if (slot.key != kEmpty) {
      insert(static_cast<TokenId>(slot.key >> 32), static_cast<TokenId>(slot.key & 0xFFFFFFFFu), slot.merge);
    }
  }
}

void MergeTable::insert(TokenId left, TokenId right, Merge merge) {
  if (2 * (count_ + 1) > slots_.size()) rebuild(std::max<std::size_t>(16, 2 * slots_.size()));
  const std::uint64_t key = pair_key(left, right);
  std::size_t at = hash(key) & mask_;
  while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & mask_;
  if (slots_[at].key == kEmpty) ++count_;
  slots_[at] = {key, merge};
}

void merge_symbols(const MergeTable& merges, std::vector<Symbol>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kScanLimit) {
    merge_by_scanning(merges, symbols);
  } else {
    HeapMerger(merges, symbols).run();
  }
}

}  // namespace lathe
