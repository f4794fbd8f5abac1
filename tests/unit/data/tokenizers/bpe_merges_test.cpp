#include "data/tokenizers/bpe_merges.h"

#include "tests/catch.h"

namespace lathe {
namespace {

std::vector<TokenId> merged(const MergeTable& table, const std::vector<TokenId>& ids) {
  std::vector<Symbol> symbols;
  for (std::uint32_t i = 0; i < ids.size(); ++i) symbols.push_back({ids[i], i, i + 1});
  merge_symbols(table, symbols);
  std::vector<TokenId> out;
  std::uint32_t at = 0;
  for (const Symbol& symbol : symbols) {
    CHECK(symbol.begin == at);
    at = symbol.end;
    out.push_back(symbol.id);
  }
  CHECK(at == ids.size());
  return out;
}

// The definition, word for word: the lowest rank anywhere, there the leftmost.
std::vector<TokenId> by_definition(const MergeTable& table, std::vector<TokenId> ids) {
  for (;;) {
    const MergeTable::Merge* best = nullptr;
    std::size_t where = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto* merge = table.find(ids[i], ids[i + 1]);
      if (merge && (!best || merge->rank < best->rank)) best = merge, where = i;
    }
    if (!best) return ids;
    ids[where] = best->id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

TEST_CASE("short and long pieces merge as defined") {
  unsigned seed = 1;
  const auto draw = [&](unsigned below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
  };
  for (int round = 0; round < 60; ++round) {
    MergeTable table;
    for (std::uint32_t rank = 0; rank < 30; ++rank) table.insert(draw(8), draw(8), {rank / 2, 4 + draw(6)});
    for (const std::size_t length : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{40},
                                     std::size_t{41}, std::size_t{200}}) {
      std::vector<TokenId> ids;
      for (std::size_t i = 0; i < length; ++i) ids.push_back(draw(4));
      CHECK(merged(table, ids) == by_definition(table, ids));
    }
  }
}

TEST_CASE("the merge table finds what was put in, the last rank of a pair") {
  MergeTable table;
  CHECK(table.find(1, 2) == nullptr);
  for (TokenId i = 0; i < 5000; ++i) table.insert(i, i * 7, {i, i + 1});
  table.insert(3, 21, {99, 5});
  CHECK(table.size() == 5000);
  REQUIRE(table.find(3, 21) != nullptr);
  CHECK(table.find(3, 21)->rank == 99);
  CHECK(table.find(4999, 34993)->id == 5000);
  CHECK(table.find(21, 3) == nullptr);
}

}  // namespace
}  // namespace lathe
