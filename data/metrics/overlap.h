#pragma once
// How much of an answer stands word for word in the training texts: the memorisation meter. A suffix
// automaton (Blumer et al., 1985) over all of them answers in time linear in the answer; building it is
// linear in the texts and takes about 100 bytes a character. Thread-safe to ask.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lathe {

// The substrings of a set of sequences of symbols below 2^31.
class SuffixAutomaton {
 public:
  void add(std::span<const std::uint32_t> sequence);
  struct Run {
    std::size_t length = 0;      // of the longest common run, in symbols
    std::size_t begin = 0;       // where it begins in the query
    std::uint32_t sequence = 0;  // in which it occurs, the first of them
  };
  Run longest_common(std::span<const std::uint32_t> query) const;

 private:
  struct State {
    std::uint32_t length = 0, link = 0, first_edge = 0, sequence = 0;
  };
  struct Edge {
    std::uint32_t symbol = 0, target = 0, next = 0;  // next edge of the same state; 0: none
  };
  std::uint32_t find(std::uint32_t state, std::uint32_t symbol) const;  // the edge; 0: none
  void put(std::uint32_t state, std::uint32_t symbol, std::uint32_t target);
  void extend(std::uint32_t symbol, std::uint32_t sequence);
  std::uint32_t clone(std::uint32_t state, std::uint32_t length);
  void rehash();
  std::size_t slot(std::uint32_t state, std::uint32_t symbol) const;

  std::vector<State> states_{{}};
  std::vector<Edge> edges_{{}};
  std::vector<std::uint32_t> owners_{0};  // state of each edge
  std::vector<std::uint32_t> table_;      // open addressing: edge numbers, 0 where free
  std::uint32_t last_ = 0, sequences_ = 0;
};

struct Overlap {
  std::size_t characters = 0;  // of the longest run that occurs in a training text
  std::size_t words = 0;       // of the longest run of whole words, split at white space
  std::size_t answer_characters = 0, answer_words = 0;
  std::string text;        // the run of characters
  std::size_t source = 0;  // index of the first training text that holds it
};

class VerbatimIndex {
 public:
  // Error above 2^27 characters in all.
  explicit VerbatimIndex(std::span<const std::string> texts);
  Overlap measure(std::string_view answer) const;

 private:
  std::vector<std::uint32_t> learn_words(std::u32string_view text);
  std::vector<std::uint32_t> known_words(std::u32string_view text) const;

  SuffixAutomaton characters_, words_;
  std::unordered_map<std::u32string, std::uint32_t> vocabulary_;
};

}  // namespace lathe
