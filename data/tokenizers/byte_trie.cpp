#include "data/tokenizers/byte_trie.h"

namespace lathe {

ByteTrie::ByteTrie(std::vector<std::pair<std::string, std::uint32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Range> open{{0, entries.size(), 0, 0}};
  for (std::size_t next = 0; next < open.size();
       ++next) {  // breadth first, so that a node's edges lie together
    Range range = open[next];
    while (range.begin < range.end && entries[range.begin].first.size() == range.depth) {
      if (range.depth > 0 && nodes_[range.node].value == kNoValue)
        nodes_[range.node].value = entries[range.begin].second;
      ++range.begin;
    }
    nodes_[range.node].first_edge = static_cast<std::uint32_t>(edges_.size());
    for (std::size_t i = range.begin; i < range.end;) {
      const auto byte = static_cast<unsigned char>(entries[i].first[range.depth]);
      std::size_t same = i;
      while (same < range.end && static_cast<unsigned char>(entries[same].first[range.depth]) == byte) ++same;
      const auto node = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
      edges_.push_back({byte, node});
      ++nodes_[range.node].edges;
      if (range.node == 0) roots_[byte] = node;
      open.push_back({i, same, range.depth + 1, node});
      i = same;
    }
  }
}

std::optional<ByteTrie::Match> ByteTrie::longest(std::string_view text, std::size_t at) const {
  std::optional<Match> best;
  each_prefix(text, at, [&](std::size_t end, std::uint32_t value) { best = Match{at, end, value}; });
  return best;
}

std::optional<ByteTrie::Match> ByteTrie::next_longest(std::string_view text, std::size_t from) const {
  if (empty()) return std::nullopt;
  for (; from < text.size(); ++from) {
    if (roots_[static_cast<unsigned char>(text[from])] == 0) continue;
    if (auto match = longest(text, from)) return match;
  }
  return std::nullopt;
}

}  // namespace lathe
