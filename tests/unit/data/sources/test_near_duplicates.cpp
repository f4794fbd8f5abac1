#include <cmath>
#include <deque>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "data/io/hash.h"
#include "data/random/philox.h"
#include "data/sources/near_duplicates.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

using namespace lathe;

namespace {

std::vector<std::string> random_words(std::uint64_t seed, std::size_t count) {
  const RandomStream stream({.seed = seed, .purpose = Purpose::Sampling});
  std::vector<std::string> words;
  for (std::size_t i = 0; i < count; ++i) words.push_back("w" + std::to_string(stream.bits(i) % 5000));
  return words;
}

std::string join(const std::vector<std::string>& words, const std::string& between = " ") {
  std::string text;
  for (const auto& word : words) text += word + between;
  return text;
}

// Changes every `period`-th word.
std::string edited(std::vector<std::string> words, std::size_t period) {
  for (std::size_t i = period / 2; i < words.size(); i += period) words[i] = "changed" + std::to_string(i);
  return join(words);
}

double exact_jaccard(const std::string& a, const std::string& b) {  // of 5-word shingles, by sets
  const auto shingles = [](const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> words;
    for (std::string w; in >> w;) words.push_back(w);
    std::set<std::string> all;
    for (std::size_t i = 0; i + 5 <= words.size(); ++i)
      all.insert(join({words.begin() + i, words.begin() + i + 5}));
    return all;
  };
  const auto x = shingles(a), y = shingles(b);
  double common = 0;
  for (const auto& s : x) common += static_cast<double>(y.count(s));
  return common / (static_cast<double>(x.size() + y.size()) - common);
}

}  // namespace

TEST_CASE("MinHash estimates the Jaccard similarity of the shingles") {
  double squares = 0, sum = 0;
  int pairs = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto words = random_words(seed, 400);
    for (const std::size_t period : {15u, 40u, 120u}) {
      const std::string a = join(words), b = edited(words, period);
      const double error = similarity(min_hash(a), min_hash(b)) - exact_jaccard(a, b);
      squares += error * error;
      sum += error;
      ++pairs;
    }
  }
  CHECK(std::sqrt(squares / pairs) < 0.065);  // sqrt(J (1 - J) / 64) is at most 0.0625
  CHECK(std::fabs(sum / pairs) < 0.02);
}

TEST_CASE("near duplicates are grouped, unrelated texts are not") {
  std::vector<std::string> texts;
  for (std::uint64_t d = 0; d < 200; ++d) {  // three versions each: itself, one with few edits, one with many
    const auto words = random_words(1000 + d, 600);
    texts.push_back(join(words));
    texts.push_back(edited(words, 200));  // J = (596 - 15) / (596 + 15) = 0.95
    texts.push_back(edited(words, 12));   // J = 0.4
  }
  REQUIRE(exact_jaccard(texts[0], texts[1]) > 0.93);
  REQUIRE(exact_jaccard(texts[0], texts[2]) < 0.6);
  const auto groups = near_duplicate_groups(texts, 2);
  for (std::uint32_t d = 0; d < 200; ++d) {
    REQUIRE(groups[3 * d] == 3 * d);
    REQUIRE(groups[3 * d + 1] == 3 * d);
    REQUIRE(groups[3 * d + 2] == 3 * d + 2);
  }
  CHECK(groups == near_duplicate_groups(texts, 1));
  std::deque<MinHash> signatures;
  for (const auto& text : texts) signatures.push_back(min_hash(text));
  const std::vector<std::uint32_t> some = {0, 2, 4, 3,
                                           599};  // places in a list of its own: 4 is an edit of 3
  CHECK(near_duplicate_groups(signatures, some) == std::vector<std::uint32_t>{0, 1, 2, 2, 4});
}

TEST_CASE("case, spaces and punctuation do not make texts different") {
  const auto words = random_words(5, 100);
  const std::string text = join(words);
  std::string upper = join(words, ",\n\t");
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  CHECK(similarity(min_hash(text), min_hash(upper)) == 1.0);
}

TEST_CASE("text without spaces is compared by windows") {
  std::string chinese;
  const RandomStream stream({.seed = 2, .purpose = Purpose::Sampling});
  for (int i = 0; i < 2000; ++i) {
    chinese += "\xE4";
    chinese += static_cast<char>(0xB8 + stream.bits(2 * i) % 7);
    chinese += static_cast<char>(0x80 + stream.bits(2 * i + 1) % 64);
  }
  std::string similar = chinese, other = chinese.substr(0, 1500);
  similar[3001] = '\xB9', similar[3000] = '\xE5';
  CHECK(similarity(min_hash(chinese), min_hash(similar)) > 0.85);
  CHECK(similarity(min_hash(chinese), min_hash(other)) < 0.5);
}

TEST_CASE("short and empty texts are near only to themselves") {
  const std::vector<std::string> texts = {"yes", "no", "Yes!",          "",
                                          "{}",  "[]", "one two three", "one two four"};
  CHECK(near_duplicate_groups(texts) == std::vector<std::uint32_t>{0, 1, 0, 3, 4, 5, 6, 7});
  CHECK(near_duplicate_groups({}).empty());
}

TEST_CASE("a thousand copies are one group at once") {
  const std::string copy = join(random_words(1, 50));
  const auto groups = near_duplicate_groups(std::vector<std::string>(1000, copy));
  for (const auto g : groups) REQUIRE(g == 0);
}

TEST_CASE("what most texts share does not make them alike") {
  const std::string form = join(random_words(7, 60)), end = join(random_words(8, 12));
  std::vector<std::string> texts;
  for (std::uint64_t i = 0; i < 10; ++i)
    texts.push_back(form + " " + join(random_words(20 + i, 6)) + " " + end);
  texts.push_back(join(random_words(40, 50)));
  texts.push_back(texts.back() + " more");
  CHECK(near_duplicate_groups(texts)[9] == 0);
  const std::vector<std::string> own = without_shared_runs(texts);
  CHECK(own[3] == join(random_words(23, 6)));
  CHECK(own[10] == texts[10]);
  const auto groups = near_duplicate_groups(own);
  for (std::uint32_t i = 0; i < 11; ++i) CHECK(groups[i] == i);
  CHECK(groups[11] == 10);
  const std::vector<std::string> few(texts.begin(), texts.begin() + 3);
  CHECK(without_shared_runs(few) == few);
}
