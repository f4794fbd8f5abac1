// Choices scored by likelihood: against logits of one document a choice, and values worked out by hand.
#include "trainer/evaluate/choices.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include "tests/catch.h"
#include "tests/unit/data/templates/support.h"
#include "tests/unit/models/decoder/tiny.h"
#include "trainer/evaluate/example_batch.h"

namespace lathe {
namespace {

// log p(answer | question) of bytes, a forward pass of its own through the logits.
double log_probability(Decoder& decoder, const std::string& question, const std::string& answer) {
  const std::string text = question + answer;
  const auto count = static_cast<std::int64_t>(text.size());
  DecoderInput input;
  input.tokens = at::empty({count}, at::kLong);
  for (std::int64_t i = 0; i < count; ++i)
    input.tokens[i] = static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
  input.positions = at::arange(count, at::kLong);
  input.stretches = {{0, static_cast<std::int32_t>(count), 0, 0}};
  input.rows = 1;
  input.length = count;
  const at::Tensor scores = at::log_softmax(decoder.logits(decoder.forward(input)).to(at::kDouble), -1);
  double sum = 0;
  for (auto i = static_cast<std::int64_t>(question.size()); i < count; ++i)
    sum += scores[i - 1][input.tokens[i].item<std::int64_t>()].item<double>();
  return sum;
}

TEST_CASE("a choice's score is its own tokens' log-probability, its length its own bytes") {
  DecoderSpec spec = tiny::llama_spec();
  spec.vocab_size = 258;
  const auto decoder = tiny::random_decoder(spec);
  const auto tokenizer = test::byte_tokenizer({"<s>", "</s>"});
  Example example;
  example.prompt = "Is it so? ";
  example.choices = {"yes", " no, it is not", "\xC3\xA9t\xC3\xA9 \n"};
  example.completion = "yes";
  example.origin = "questions.jsonl:1";
  const at::NoGradGuard no_grad;
  const ScoredChoices scored = score_choices(*decoder, *tokenizer, {}, example);
  REQUIRE(scored.log_probabilities.size() == 3);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(scored.log_probabilities[i] ==
          Approx(log_probability(*decoder, example.prompt, example.choices[i])).epsilon(1e-5));
  CHECK(scored.bytes == std::vector<std::size_t>{3, 13, 5});

  example.choices.push_back(std::string(60, 'x'));  // 64 positions
  const std::string error = test::error_of([&] { score_choices(*decoder, *tokenizer, {}, example); });
  CHECK(error.find("questions.jsonl:1") != error.npos);
  CHECK(error.find("64 positions") != error.npos);
}

TEST_CASE("the likeliest choice, as a whole and per byte") {
  CHECK(ScoredChoices{{-3, -1, -1}, {1, 1, 1}}.best() == 1);
  const ScoredChoices scored{{-4, -3, -6}, {4, 2, 12}};  // per byte: -1, -1.5, -0.5
  CHECK(scored.best() == 1);
  CHECK(scored.best_per_byte() == 2);
}

TEST_CASE("examples stand one behind the other in a row; tokens left out are no targets") {
  TokenExample example;
  example.ids = {5, 6, 7, 8};
  example.supervised = {0, 0, 1, 1};
  Batch batch;
  append_example(batch, example);
  append_example(batch, example, {8});
  CHECK(batch.tokens == std::vector<std::int32_t>{5, 6, 7, 5, 6, 7});
  const std::int32_t none = kIgnoreTarget;
  CHECK(batch.targets == std::vector<std::int32_t>{none, 7, 8, none, 7, none});
  CHECK(batch.positions == std::vector<std::int32_t>{0, 1, 2, 0, 1, 2});
  CHECK(batch.rows == 1);
  CHECK(batch.length == 6);
  CHECK(batch.token_count == 6);
  CHECK(batch.target_count == 3);
  REQUIRE(batch.stretches.size() == 2);
  CHECK(batch.stretches[1].begin == 3);
  CHECK(batch.stretches[1].length == 3);
  CHECK(batch.stretches[1].document == 1);
  CHECK_THROWS_AS(append_example(batch, TokenExample{}), Error);
}

}  // namespace
}  // namespace lathe
