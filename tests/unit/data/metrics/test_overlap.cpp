#include "data/metrics/overlap.h"

#include <algorithm>

#include "data/random/philox.h"
#include "tests/catch.h"

using namespace lathe;

namespace {

using Sequence = std::vector<std::uint32_t>;

// Longest common run by comparing everything with everything.
std::size_t slow_longest(const std::vector<Sequence>& texts, const Sequence& query) {
  std::size_t best = 0;
  for (const auto& text : texts) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      for (std::size_t j = 0; j < query.size(); ++j) {
        std::size_t n = 0;
        while (i + n < text.size() && j + n < query.size() && text[i + n] == query[j + n]) ++n;
        best = std::max(best, n);
      }
    }
  }
  return best;
}

Sequence drawn(std::uint64_t sample, std::size_t count, std::uint32_t symbols) {
  const RandomStream stream({.seed = 11, .purpose = Purpose::Noise, .sample = sample});
  Sequence out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = stream.bits(i) % symbols;
  return out;
}

}  // namespace

TEST_CASE("overlap in characters and words") {
  const std::vector<std::string> texts = {"le chat dort sur le lit", "un chien mange vite"};
  const VerbatimIndex index(texts);
  const auto o = index.measure("oui, le chat dort sous le lit");
  CHECK(o.text == "le chat dort s");
  CHECK(o.characters == 14);  // not " le chat": the training text begins there
  CHECK(o.words == 3);
  CHECK(o.answer_words == 7);
  CHECK(o.answer_characters == 29);
  CHECK(o.source == 0);
  CHECK(index.measure("chien mange vite").source == 1);
  CHECK(index.measure("chien mange vite").words == 3);
  CHECK(index.measure("").characters == 0);
  CHECK(index.measure("12345").words == 0);
  CHECK(index.measure("litun").characters == 3);  // no run spans two texts
}

TEST_CASE("overlap counts characters, not bytes") {
  const std::vector<std::string> texts = {"\xC3\xA9t\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC"};
  const auto o = VerbatimIndex(texts).measure("\xC3\xA8\xC3\xA9t\xC3\xA9 \xE6\x97\xA5\xE6\x97\xA5");
  CHECK(o.characters == 5);
  CHECK(o.text == "\xC3\xA9t\xC3\xA9 \xE6\x97\xA5");
}

TEST_CASE("the automaton agrees with comparing everything") {
  for (std::uint64_t trial = 0; trial < 60; ++trial) {
    const std::uint32_t symbols = 2 + trial % 4;
    std::vector<Sequence> texts;
    SuffixAutomaton automaton;
    for (std::uint64_t i = 0; i < 3; ++i) {
      texts.push_back(drawn(trial * 10 + i, 20 + trial, symbols));
      automaton.add(texts.back());
    }
    const Sequence query = drawn(trial * 10 + 7, 40, symbols);
    const auto run = automaton.longest_common(query);
    CHECK(run.length == slow_longest(texts, query));
    const Sequence part(query.begin() + static_cast<std::ptrdiff_t>(run.begin),
                        query.begin() + static_cast<std::ptrdiff_t>(run.begin + run.length));
    const Sequence& text = texts.at(run.sequence);
    CHECK(std::search(text.begin(), text.end(), part.begin(), part.end()) != text.end());
  }
}
