#include "data/metrics/overlap.h"

#include <algorithm>

#include "data/metrics/unicode.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kMostCharacters = std::size_t{1} << 27;
constexpr std::uint32_t kSeparator =
    0x80000000u;  // + index: a symbol that ends one sequence and occurs nowhere else
constexpr std::uint32_t kUnknownWord = 0x7FFFFFFFu;
constexpr std::uint32_t kNone = 0xFFFFFFFFu;  // link of the root

std::vector<std::uint32_t> symbols_of(std::u32string_view text) { return {text.begin(), text.end()}; }

}  // namespace

std::size_t SuffixAutomaton::slot(std::uint32_t state, std::uint32_t symbol) const {
  std::uint64_t h = (std::uint64_t{state} << 32 | symbol) * 0x9E3779B97F4A7C15ull;
  h ^= h >> 29;
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = static_cast<std::size_t>(h * 0xBF58476D1CE4E5B9ull >> 20) & mask;;
       at = (at + 1) & mask) {
    const std::uint32_t edge = table_[at];
    if (edge == 0 || (owners_[edge] == state && edges_[edge].symbol == symbol)) return at;
  }
}

void SuffixAutomaton::rehash() {
  table_.assign(std::max<std::size_t>(1024, table_.size() * 2), 0);
  for (std::uint32_t edge = 1; edge < edges_.size(); ++edge)
    table_[slot(owners_[edge], edges_[edge].symbol)] = edge;
}

std::uint32_t SuffixAutomaton::find(std::uint32_t state, std::uint32_t symbol) const {
  return table_.empty() ? 0 : table_[slot(state, symbol)];
}

void SuffixAutomaton::put(std::uint32_t state, std::uint32_t symbol, std::uint32_t target) {
  if (const std::uint32_t edge = find(state, symbol)) {
    edges_[edge].target = target;
    return;
  }
  if (2 * (edges_.size() + 1) > table_.size()) rehash();
  const auto edge = static_cast<std::uint32_t>(edges_.size());
  edges_.push_back({symbol, target, states_[state].first_edge});
  owners_.push_back(state);
  states_[state].first_edge = edge;
  table_[slot(state, symbol)] = edge;
}

std::uint32_t SuffixAutomaton::clone(std::uint32_t state, std::uint32_t length) {
  const auto copy = static_cast<std::uint32_t>(states_.size());
  states_.push_back({length, states_[state].link, 0, states_[state].sequence});
  for (std::uint32_t edge = states_[state].first_edge; edge; edge = edges_[edge].next) {
    put(copy, edges_[edge].symbol, edges_[edge].target);
  }
  return copy;
}

// The online construction: one new state, at most one clone.
void SuffixAutomaton::extend(std::uint32_t symbol, std::uint32_t sequence) {
  const auto current = static_cast<std::uint32_t>(states_.size());
  states_.push_back({states_[last_].length + 1, 0, 0, sequence});
  std::uint32_t state = last_;
  while (state != kNone && !find(state, symbol)) {
    put(state, symbol, current);
    state = states_[state].link;
  }
  last_ = current;
  if (state == kNone) return;  // linked to the root
  const std::uint32_t target = edges_[find(state, symbol)].target;
  if (states_[target].length == states_[state].length + 1) {
    states_[current].link = target;
    return;
  }
  const std::uint32_t copy = clone(target, states_[state].length + 1);
  for (; state != kNone; state = states_[state].link) {
    const std::uint32_t edge = find(state, symbol);
    if (!edge || edges_[edge].target != target) break;
    edges_[edge].target = copy;
  }
  states_[target].link = states_[current].link = copy;
}

void SuffixAutomaton::add(std::span<const std::uint32_t> sequence) {
  states_[0].link = kNone;
  for (const auto symbol : sequence) extend(symbol, sequences_);
  extend(kSeparator + sequences_, sequences_);
  ++sequences_;
}

SuffixAutomaton::Run SuffixAutomaton::longest_common(std::span<const std::uint32_t> query) const {
  Run best;
  std::uint32_t state = 0;
  std::size_t length = 0;
  for (std::size_t i = 0; i < query.size(); ++i) {
    std::uint32_t edge = find(state, query[i]);
    while (!edge && state != 0) {
      state = states_[state].link;
      length = states_[state].length;
      edge = find(state, query[i]);
    }
    if (!edge) continue;
    state = edges_[edge].target;
    if (++length > best.length) best = {length, i + 1 - length, states_[state].sequence};
  }
  return best;
}

VerbatimIndex::VerbatimIndex(std::span<const std::string> texts) {
  std::size_t total = 0;
  for (const auto& text : texts) {
    const std::u32string all = lathe::characters(text);
    total += all.size();
    require(total <= kMostCharacters, "overlap: more than ", kMostCharacters,
            " characters of training text; give a part");
    characters_.add(symbols_of(all));
    words_.add(learn_words(all));
  }
}

std::vector<std::uint32_t> VerbatimIndex::learn_words(std::u32string_view text) {
  std::vector<std::uint32_t> ids;
  for (auto& word : split_words(text)) {
    ids.push_back(vocabulary_.try_emplace(std::move(word), static_cast<std::uint32_t>(vocabulary_.size()))
                      .first->second);
  }
  return ids;
}

std::vector<std::uint32_t> VerbatimIndex::known_words(std::u32string_view text) const {
  std::vector<std::uint32_t> ids;
  for (const auto& word : split_words(text)) {
    const auto known = vocabulary_.find(word);
    ids.push_back(known == vocabulary_.end() ? kUnknownWord : known->second);
  }
  return ids;
}

Overlap VerbatimIndex::measure(std::string_view answer) const {
  const std::u32string all = lathe::characters(answer);
  const auto words = known_words(all);
  const auto run = characters_.longest_common(symbols_of(all));
  return {run.length,
          words_.longest_common(words).length,
          all.size(),
          words.size(),
          to_utf8(std::u32string_view(all).substr(run.begin, run.length)),
          run.sequence};
}

}  // namespace lathe
