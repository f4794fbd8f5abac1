#include "data/sources/example_split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/sources/example_text.h"
#include "tests/catch.h"
#include "tests/pairs.h"
#include "tests/unit/data/examples/support.h"

using namespace lathe;

namespace {

using test::pair;

// Prompts that share nothing.
std::string distinct(std::size_t i) {
  std::string text;
  for (std::size_t k = 0; k < 8; ++k) text += "w" + std::to_string(i * 8 + k) + " ";
  return text;
}

std::vector<Example> singles(std::size_t count) {
  std::vector<Example> examples;
  for (std::size_t i = 0; i < count; ++i) examples.push_back(pair(distinct(i), "a" + std::to_string(i)));
  return examples;
}

std::size_t held_count(const ExampleSplit& split) {
  return static_cast<std::size_t>(std::count(split.held.begin(), split.held.end(), true));
}

}  // namespace

TEST_CASE("texts: what is asked and what is answered") {
  const Example p = pair("q", "a");
  CHECK(asked_text(p) == "q");
  CHECK(answer_text(p) == "a");
  CHECK(whole_text(p) == "q\na");
  Example chat;
  chat.kind = ExampleKind::Chat;
  chat.messages = Json::parse(
      R"([{"role":"user","content":"1"},{"role":"assistant","content":"2"},{"role":"user","content":"3"},)"
      R"({"role":"assistant","content":"4","tool_calls":[{}]},{"role":"user","content":"5"}])");
  CHECK(asked_text(chat) == "user: 1\nassistant: 2\nuser: 3\n");
  CHECK(answer_text(chat) == "4[{}]");
  CHECK(contains(whole_text(chat), "user: 5"));
}

TEST_CASE("texts: folding") {
  CHECK(fold_text(" \xC3\x89T\xC3\x89\xC2\xA0\t!  \n") == fold_text("e\xCC\x81te\xCC\x81 !"));
  CHECK(fold_text("STRASSE") == fold_text("stra\xC3\x9F"
                                          "e"));
  CHECK(fold_text("a b") != fold_text("ab"));
  CHECK(fold_text(" \n") == "");
}

TEST_CASE("held out: exactly round(share * n), whatever the size") {
  for (const std::size_t count : {5u, 11u, 22u, 40u, 101u}) {
    for (const double share : {0.1, 0.2, 0.25, 0.5, 0.9}) {
      const auto wanted = static_cast<std::size_t>(std::llround(share * static_cast<double>(count)));
      if (wanted == 0 || wanted == count) continue;
      const auto split = hold_out(singles(count), share, 17);
      CHECK(held_count(split) == wanted);
      CHECK(split.groups == count);
      CHECK(split.broken == 0);
    }
  }
}

TEST_CASE("held out: related examples stay together where a union of groups has the size") {
  auto examples = singles(4);
  for (int g = 0; g < 6; ++g) {  // six questions asked three times each
    for (int i = 0; i < 3; ++i)
      examples.push_back(pair("Question  " + std::to_string(g), "answer " + std::to_string(i)));
  }
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto split = hold_out(examples, 0.32, seed);  // 7 of 22
    CHECK(held_count(split) == 7);
    CHECK(split.broken == 0);
    CHECK(split.groups == 10);
    for (std::size_t g = 0; g < 6; ++g) {
      CHECK(split.held[4 + 3 * g] == split.held[5 + 3 * g]);
      CHECK(split.held[4 + 3 * g] == split.held[6 + 3 * g]);
    }
  }
}

TEST_CASE("held out: the exact sum is found where the first that fit leave a gap") {
  std::vector<Example> examples;  // groups of 4, 3, 3: 6 is 3 + 3 only
  for (int g = 0; g < 3; ++g) {
    for (int i = 0; i < (g == 0 ? 4 : 3); ++i)
      examples.push_back(pair("Question " + std::to_string(g), std::to_string(i)));
  }
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto split = hold_out(examples, 0.6, seed);
    CHECK(held_count(split) == 6);
    CHECK(split.broken == 0);
    CHECK(!split.held[0]);
  }
  const auto broken = hold_out(examples, 0.5, 1);  // 5 is no sum: one group is cut, and that is told
  CHECK(held_count(broken) == 5);
  CHECK(broken.broken == 1);
}

TEST_CASE("held out: a function of contents and seed, not of the order") {
  const auto examples = singles(30);
  const auto split = hold_out(examples, 0.2, 17);
  CHECK(hold_out(examples, 0.2, 17).held == split.held);
  CHECK(hold_out(examples, 0.2, 18).held != split.held);
  std::vector<Example> turned(examples.rbegin(), examples.rend());
  auto held = hold_out(turned, 0.2, 17).held;
  std::reverse(held.begin(), held.end());
  CHECK(held == split.held);
  std::vector<int> times(30, 0);  // every example has its turn over seeds
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto one = hold_out(examples, 0.2, seed);
    for (std::size_t i = 0; i < 30; ++i) times[i] += one.held[i];
  }
  CHECK(*std::min_element(times.begin(), times.end()) > 15);  // 40 expected, deviation 5.7
  CHECK(*std::max_element(times.begin(), times.end()) < 65);
}

TEST_CASE("held out: what cannot be done") {
  CHECK(contains(error_of([] { hold_out(singles(4), 0.1, 1); }), "0.1 of 4 examples holds out none"));
  CHECK(contains(error_of([] { hold_out(singles(4), 0.99, 1); }), "holds out all"));
  CHECK(
      contains(error_of([] { hold_out(singles(4), 1.5, 1); }), "wanted a share between 0 and 1, found 1.5"));
  const std::vector<Example> same(6, pair("q", "a"));
  CHECK(contains(error_of([&] { hold_out(same, 0.5, 1); }), "all 6 examples are nearly the same"));
}

TEST_CASE("folds: every example once, sizes within one, groups whole") {
  auto examples = singles(13);
  for (int i = 0; i < 4; ++i) examples.push_back(pair("The same question", "answer " + std::to_string(i)));
  for (const std::uint32_t folds : {2u, 3u, 4u}) {
    const auto fold = fold_examples(examples, folds, 17);
    REQUIRE(fold.size() == 17);
    std::map<std::uint32_t, std::size_t> sizes;
    for (const auto f : fold) ++sizes[f];
    CHECK(sizes.size() == folds);
    for (const auto& [f, size] : sizes) CHECK((size == 17 / folds || size == 17 / folds + 1));
    CHECK(std::set<std::uint32_t>(fold.begin() + 13, fold.end()).size() == 1);
    CHECK(fold_examples(examples, folds, 17) == fold);
    CHECK(fold_examples(examples, folds, 18) != fold);
  }
  CHECK(contains(error_of([&] { fold_examples(examples, 1, 1); }), "wanted at least 2, found 1"));
  CHECK(contains(error_of([&] { fold_examples(std::vector<Example>(6, pair("q", "a")), 5, 1); }),
                 "of which only 1 differ"));
}

TEST_CASE("held out: a shared instruction or system prompt makes no two examples alike") {
  std::string rules = "you answer for the company and";
  for (int i = 0; i < 60; ++i) rules += " keep" + std::to_string(i);
  std::vector<Example> pairs, chats;
  for (std::size_t i = 0; i < 12; ++i) {
    const std::string question = "order " + std::to_string(100 + i) + " is late";
    pairs.push_back(pair(rules + "\nSentence: " + question + "\nLabel:", i % 3 ? "good" : "bad"));
    Example chat;
    chat.kind = ExampleKind::Chat;
    chat.messages = Json::array({{{"role", "system"}, {"content", rules}},
                                 {{"role", "user"}, {"content", question}},
                                 {{"role", "assistant"}, {"content", i % 3 ? "good" : "bad"}}});
    chats.push_back(chat);
  }
  for (auto* examples : {&pairs, &chats}) {
    const auto folds = fold_examples(*examples, 5, 1);
    for (std::uint32_t fold = 0; fold < 5; ++fold) CHECK(std::count(folds.begin(), folds.end(), fold) >= 2);
    CHECK(hold_out(*examples, 0.25, 1).groups == 12);
    examples->push_back(examples->front());  // a copy is one all the same
    CHECK(hold_out(*examples, 0.25, 1).groups == 12);
  }
}
