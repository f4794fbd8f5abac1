#include "data/shards/packing.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;
using testing::contains_text;
using Rows = std::vector<std::vector<std::vector<std::uint64_t>>>;

namespace {

Rows as_lists(const PackedRows& packed) {
  Rows rows;
  for (std::size_t r = 0; r + 1 < packed.offsets.size(); ++r) {
    rows.emplace_back();
    for (std::uint64_t s = packed.offsets[r]; s < packed.offsets[r + 1]; ++s) {
      const Segment& segment = packed.segments[s];
      rows.back().push_back({segment.document, segment.begin, segment.length});
    }
  }
  return rows;
}

std::vector<std::uint64_t> lengths_of(const testing::Documents& documents) {
  std::vector<std::uint64_t> lengths;
  for (const auto& document : documents) lengths.push_back(document.size());
  return lengths;
}

}  // namespace

TEST_CASE("a long document is cut into rows that share one token") {
  // 10 tokens, rows of 4 inputs: inputs 0-3, 4-7, 8; targets 1-4, 5-8, 9.
  const Rows expected = {{{0, 0, 4}}, {{0, 4, 4}}, {{0, 8, 1}}};
  CHECK(as_lists(pack_rows({10}, {.sequence_length = 4})) == expected);
  // 9 tokens fit two rows exactly: the last token is only a target.
  CHECK(as_lists(pack_rows({9}, {.sequence_length = 4})) == Rows{{{0, 0, 4}}, {{0, 4, 4}}});
  CHECK(as_lists(pack_rows({2}, {.sequence_length = 4})) == Rows{{{0, 0, 1}}});
}

TEST_CASE("short pieces are combined by best-fit decreasing") {
  // Inputs 3, 5, 2, 6, 4 into rows of 8. Decreasing: 6 | 5 | 4 | 3 fits best beside 5 (room 3) | 2 beside 6
  // (room 2).
  const PackedRows packed = pack_rows({4, 6, 3, 7, 5}, {.sequence_length = 8});
  const Rows expected = {{{3, 0, 6}, {2, 0, 2}}, {{1, 0, 5}, {0, 0, 3}}, {{4, 0, 4}}};
  CHECK(as_lists(packed) == expected);
  CHECK(packed.row_tokens == 20);
}

TEST_CASE("without packing every piece has a row of its own") {
  const Rows expected = {{{0, 0, 3}}, {{1, 0, 8}}, {{1, 8, 2}}, {{2, 0, 1}}};
  CHECK(as_lists(pack_rows({4, 11, 2}, {.sequence_length = 8, .packing = false})) == expected);
}

TEST_CASE("every token but a document's first is a target exactly once, and rows are never too long") {
  for (const std::uint64_t width : {1u, 3u, 16u, 57u}) {
    for (const bool packing : {true, false}) {
      const auto lengths = lengths_of(testing::random_documents(23'000, 60, 100, width));
      const PackedRows packed = pack_rows(lengths, {.sequence_length = width, .packing = packing});
      std::vector<std::vector<int>> targets;
      for (const std::uint64_t length : lengths) targets.emplace_back(length, 0);
      std::uint64_t in_rows = 0;
      bool rows_fit = true;
      for (std::size_t r = 0; r + 1 < packed.offsets.size(); ++r) {
        std::uint64_t sum = 0;
        for (std::uint64_t s = packed.offsets[r]; s < packed.offsets[r + 1]; ++s) {
          const Segment& segment = packed.segments[s];
          sum += segment.length;
          for (std::uint64_t i = 0; i < segment.length; ++i)
            ++targets[segment.document].at(segment.begin + i + 1);
        }
        rows_fit = rows_fit && sum >= 1 && sum <= width;
        in_rows += sum;
      }
      CHECK(rows_fit);
      CHECK(in_rows == packed.row_tokens);
      bool once = true;
      for (const auto& document : targets) {
        once = once && document[0] == 0 &&
               std::count(document.begin() + 1, document.end(), 1) + 1 ==
                   static_cast<std::ptrdiff_t>(document.size());
      }
      CHECK(once);
    }
  }
}

TEST_CASE("packing wastes little and stays within its window") {
  const auto lengths = lengths_of(testing::random_documents(25'000, 400, 100, 3));
  const PackedRows packed = pack_rows(lengths, {.sequence_length = 512});
  CHECK(static_cast<double>(packed.row_tokens) / static_cast<double>(packed.rows() * 512) > 0.99);
  bool near = true;
  for (std::size_t r = 0; r + 1 < packed.offsets.size(); ++r) {
    const std::uint64_t window = packed.segments[packed.offsets[r]].document / kPackingWindow;
    for (std::uint64_t s = packed.offsets[r]; s < packed.offsets[r + 1]; ++s) {
      near = near && packed.segments[s].document / kPackingWindow == window;
    }
  }
  CHECK(near);
}

TEST_CASE("what overlength leaves of a document") {
  using enum Overlength;
  CHECK(kept_length(9, 8, Error, "a") == 9);  // 8 inputs
  CHECK(kept_length(10, 8, Split, "a") == 10);
  CHECK(kept_length(10, 8, Truncate, "a") == 9);
  CHECK(kept_length(10, 8, Drop, "a") == 0);
  CHECK(kept_length(1, 8, Split, "a") == 0);
  CHECK_THROWS_WITH(kept_length(10, 8, Error, "notes.jsonl:17"), contains_text("notes.jsonl:17") &&
                                                                     contains_text("9 tokens") &&
                                                                     contains_text("data.sequence_length"));
  CHECK(parse_overlength("") == Split);
  CHECK(parse_overlength("truncate") == Truncate);
  CHECK_THROWS_AS(parse_overlength("cut"), lathe::Error);
}
