// The memorisation meter by answers worked out by hand.
#include "trainer/text/recall.h"

#include <set>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/pairs.h"

using namespace lathe;

namespace {

using test::pair;

Answer said(const std::string& text) { return {text, 3, true}; }

std::set<std::string> prompts_of(const std::vector<Example>& examples) {
  std::set<std::string> prompts;
  for (const Example& example : examples) prompts.insert(example.prompt);
  return prompts;
}

}  // namespace

TEST_CASE("training prompts are chosen by the seed, at most 32 of them, plain texts never") {
  std::vector<Example> train;
  for (int i = 0; i < 100; ++i) train.push_back(pair(std::to_string(i), "a"));
  const std::set<std::string> first = prompts_of(recall_examples(train, 7));
  CHECK(first.size() == 32);
  CHECK(first == prompts_of(recall_examples(train, 7)));
  CHECK(first != prompts_of(recall_examples(train, 8)));
  train.resize(3);
  train[1].kind = ExampleKind::Text;
  CHECK(prompts_of(recall_examples(train, 7)) == std::set<std::string>{"0", "2"});
}

TEST_CASE("the share of training answers that come back, and the longest run of them") {
  const std::vector<std::string> asked = {"red and blue", "the green hat", "one two three four"};
  std::vector<std::string> train = asked;
  train.push_back("a plain text");
  // The first comes back, the second in part, the third with a space more: 1 of 3; the longest run is all of
  // the third.
  const Json found =
      recalled(train, asked, {said("red and blue"), said("a green hat"), said("one two three four ")});
  CHECK(found.at("asked") == 3);
  CHECK(found.at("verbatim").get<double>() == Approx(1.0 / 3));
  CHECK(found.at("longest_characters") == 18);
  CHECK(found.at("longest_words") == 4);
  CHECK(found.at("text") == "one two three four");
  CHECK(memorised(train, {said("zz blue")}).at("longest_characters") == 5);  // with its space
  CHECK_THROWS_AS(recalled(train, asked, {}), Error);
}
