#pragma once
// Texts to values: every text of the set that starts at a place, in one walk.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lathe {

class ByteTrie {
 public:
  ByteTrie() = default;
  // A text given twice keeps its first value; empty texts are left out.
  explicit ByteTrie(std::vector<std::pair<std::string, std::uint32_t>> entries);
  bool empty() const { return nodes_.size() == 1; }

  // Calls sink(end, value) for each text that is text[at, end), shortest first.
  template <class Sink>
  void each_prefix(std::string_view text, std::size_t at, Sink&& sink) const {
    std::uint32_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node == 0) return;
      if (nodes_[node].value != kNoValue) sink(i + 1, nodes_[node].value);
    }
  }

  struct Match {
    std::size_t begin, end;
    std::uint32_t value;
  };
  std::optional<Match> longest(std::string_view text, std::size_t at) const;
  std::optional<Match> next_longest(std::string_view text,
                                    std::size_t from) const;  // the leftmost, there the longest

 private:
  static constexpr std::uint32_t kNoValue = ~std::uint32_t{0};
  struct Node {
    std::uint32_t first_edge = 0, value = kNoValue;
    std::uint16_t edges = 0;
  };
  struct Edge {
    unsigned char byte;
    std::uint32_t node;
  };
  std::uint32_t child(std::uint32_t node,
                      unsigned char byte) const {  // 0: none, for nobody points at the root
    if (node == 0) return roots_[byte];
    const Edge* first = edges_.data() + nodes_[node].first_edge;
    const Edge* last = first + nodes_[node].edges;
    const Edge* edge =
        std::lower_bound(first, last, byte, [](const Edge& e, unsigned char b) { return e.byte < b; });
    return edge != last && edge->byte == byte ? edge->node : 0;
  }
  struct Range {  // of sorted entries that share `depth` bytes
    std::size_t begin, end, depth;
    std::uint32_t node;
  };

  std::vector<Node> nodes_{1};
  std::vector<Edge> edges_;
  std::uint32_t roots_[256] = {};
};

}  // namespace lathe
