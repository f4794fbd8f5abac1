#include "data/sources/split.h"

#include <algorithm>
#include <map>

#include "data/io/hash.h"
#include "tests/catch.h"
#include "tests/complaints.h"

using namespace lathe;

namespace {

std::vector<DocumentKey> distinct(std::uint32_t count, std::uint64_t bytes = 100) {
  std::vector<DocumentKey> documents;
  for (std::uint32_t i = 0; i < count; ++i) documents.push_back({sha256(std::to_string(i)), bytes, i});
  return documents;
}

std::uint64_t held_bytes(const std::vector<DocumentKey>& documents, const std::vector<bool>& held) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < held.size(); ++i) sum += held[i] ? documents[i].bytes : 0;
  return sum;
}

}  // namespace

TEST_CASE("documents are held out in the order of their hashes until the share of bytes is reached") {
  // SHA-256 of "0" .. "5" begin 5f, 6b, d4, 4e, 4b, ef: the order is 4, 3, 0, 1, 2, 5.
  const auto documents = distinct(6);
  CHECK(validation_split(documents, 0.1) == std::vector<bool>{0, 0, 0, 0, 1, 0});
  CHECK(validation_split(documents, 0.3) == std::vector<bool>{0, 0, 0, 1, 1, 0});
  CHECK(validation_split(documents, 0.5) == std::vector<bool>{1, 0, 0, 1, 1, 0});
  auto weighted = documents;
  weighted[4].bytes = 300;  // of 800
  CHECK(validation_split(weighted, 0.3) == std::vector<bool>{0, 0, 0, 0, 1, 0});
  CHECK(validation_split(weighted, 0.4) == std::vector<bool>{0, 0, 0, 1, 1, 0});
}

TEST_CASE("the order in which documents are listed does not matter") {
  auto documents = distinct(500);
  for (std::size_t i = 0; i < documents.size(); ++i) documents[i].bytes = 50 + i * 37 % 101;
  const auto held = validation_split(documents, 0.1);
  std::map<Sha256Digest, bool> side;
  for (std::size_t i = 0; i < held.size(); ++i) side[documents[i].sha256] = held[i];
  std::reverse(documents.begin(), documents.end());
  const auto again = validation_split(documents, 0.1);
  for (std::size_t i = 0; i < again.size(); ++i) REQUIRE(again[i] == side[documents[i].sha256]);
}

TEST_CASE("the share is reached and overshot by less than one group") {
  const auto documents = distinct(1000, 100);
  for (const double share : {0.01, 0.02, 0.1, 0.5, 0.99}) {
    const auto bytes = static_cast<double>(held_bytes(documents, validation_split(documents, share)));
    CHECK(bytes >= share * 100000);
    CHECK(bytes < share * 100000 + 100);
  }
}

TEST_CASE("groups and equal documents stay on one side") {
  auto documents = distinct(300);
  for (std::uint32_t i = 0; i < 300; ++i) documents[i].group = i / 3;
  for (const double share : {0.05, 0.3, 0.6}) {
    const auto held = validation_split(documents, share);
    for (std::size_t i = 0; i < 300; i += 3) REQUIRE((held[i] == held[i + 1] && held[i] == held[i + 2]));
  }
  auto equal = distinct(300);
  for (std::uint32_t i = 150; i < 300; ++i) equal[i].sha256 = equal[i - 150].sha256;
  const auto held = validation_split(equal, 0.3);
  for (std::size_t i = 0; i < 150; ++i) REQUIRE(held[i] == held[i + 150]);
}

TEST_CASE("a group larger than the share stays with training") {
  auto documents = distinct(100);
  for (std::uint32_t i = 0; i < 50; ++i) documents[i].group = 0;
  const auto held = validation_split(documents, 0.1);
  for (std::size_t i = 0; i < 50; ++i) REQUIRE_FALSE(held[i]);
  CHECK(held_bytes(documents, held) == 1000);
}

TEST_CASE("adding documents moves few from one side to the other") {
  const auto before = distinct(1000), after = distinct(1050);
  const auto held = validation_split(before, 0.1), again = validation_split(after, 0.1);
  int moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) moved += held[i] != again[i];
  CHECK(moved <= 10);
}

TEST_CASE("whole documents serve where they give about the share") {
  CHECK(held_out_tails(distinct(6), 0.1).empty());  // one of six: 1.7 times the share
  CHECK(held_out_tails(distinct(1000), 0.001).empty());
  CHECK(held_out_tails(distinct(2), 0.3).empty());  // a half
}

TEST_CASE("documents longer than the share are cut where whole ones cannot give it") {
  CHECK(held_out_tails(distinct(1, 1000), 0.1) == std::vector<std::uint64_t>{100});
  CHECK(held_out_tails(distinct(2, 1000), 0.1) == std::vector<std::uint64_t>{100, 100});
  CHECK(held_out_tails(distinct(2, 1000), 0.9) == std::vector<std::uint64_t>{900, 900});
  // SHA-256 of "1" (6b) comes before that of "2" (d4); "0" (5f) is first and would be 80 %. 125 of 1,250 are
  // the share.
  auto documents = distinct(3, 125);
  documents[0].bytes = 1000;
  CHECK(held_out_tails(documents, 0.1) == std::vector<std::uint64_t>{125, 0, 0});
  auto copies = distinct(3, 1000);  // two that are nearly the same text give nothing of theirs
  copies[1].group = copies[0].group;
  CHECK(held_out_tails(copies, 0.1) == std::vector<std::uint64_t>{0, 0, 300});
  copies[2].group = copies[0].group;
  CHECK(held_out_tails(copies, 0.1).empty());
  CHECK(held_out_tails({}, 0.1).empty());
  // A share of few bytes is the end of one document, not a byte or two of each.
  const std::vector<std::uint64_t> few = held_out_tails(distinct(40, 700), 0.001);
  CHECK(std::count(few.begin(), few.end(), 0) == 39);
  CHECK(std::count(few.begin(), few.end(), 28) == 1);
}

TEST_CASE("a held-out end begins after the nearest blank line, line or space") {
  CHECK(tail_begin("one one\n\ntwo two\n", 8) == 9);
  CHECK(tail_begin("aaaa\naaaa\r\n\r\nbbbb\nbbbb\n", 12) ==
        13);  // a blank line of Windows beats a nearer line's end
  CHECK(tail_begin("aaaa\nbbbb\ncccc\ndddd\n", 10) == 10);
  CHECK(tail_begin("aaaa\nbbbb\ncccc\ndddd\n", 9) == 10);
  CHECK(tail_begin("aaaa bbbb cccc dddd ", 9) == 10);
  CHECK(tail_begin("aaaaaaaaaa", 3) == 7);
  const std::string accents = "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9";
  for (std::uint64_t wanted = 1; wanted < 8; ++wanted) {
    const std::size_t at = tail_begin(accents, wanted);
    CHECK(at % 2 == 0);
    CHECK((at > 0 && at < 8));
  }
}

TEST_CASE("a split that leaves one side empty is an error") {
  CHECK(contains(error_of([] { validation_split(distinct(1), 0.1); }), "nothing to train on"));
  CHECK(contains(error_of([] { validation_split({}, 0.1); }), "nothing to hold out"));
  CHECK(contains(error_of([] { validation_split(distinct(2), 0.9); }), "nothing to train on"));
  auto same = distinct(10);
  for (auto& d : same) d.group = 7;
  CHECK(contains(error_of([&] { validation_split(same, 0.1); }), "nothing to hold out"));
  CHECK_THROWS(validation_split(distinct(10), 0.0));
  CHECK_THROWS(validation_split(distinct(10), 1.0));
}
