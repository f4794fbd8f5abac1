#include "models/generation/generate.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <map>

#include "models/generation/sampling.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;
using tiny::largest_difference;

namespace {

at::Tensor all_logits(Decoder& decoder, const Batch& batch) {  // (B, T, V)
  const at::Tensor hidden = decoder.forward(decoder_input(batch));
  return decoder.logits(hidden).unflatten(0, {batch.rows, batch.length});
}

// Families, and angles that follow from the length.
std::vector<DecoderSpec> generating_specs() {
  DecoderSpec dynamic = tiny::llama_spec();
  dynamic.rotary.scaling = RotaryScaling::Dynamic;
  dynamic.rotary.factor = 2;
  return {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec(), dynamic};
}

}  // namespace

TEST_CASE("cached logits equal the full forward's, however the tokens are split") {
  for (const DecoderSpec& spec : generating_specs()) {
    const auto decoder = tiny::random_decoder(spec);
    const at::NoGradGuard no_grad;
    const Batch batch = tiny::make_batch({{20}, {20}}, 20, spec.vocab_size);
    const at::Tensor tokens = decoder_input(batch).tokens.unflatten(0, {2, 20});
    const at::Tensor full = all_logits(*decoder, batch);
    for (const std::vector<std::int64_t>& parts :
         {std::vector<std::int64_t>{20}, {7, 1, 1, 11}, std::vector<std::int64_t>(20, 1)}) {
      KvCache cache(spec, 2, 4, at::kFloat);  // grows
      std::int64_t done = 0;
      for (const std::int64_t part : parts) {
        const at::Tensor logits = decoder->forward_cached(tokens.narrow(1, done, part), cache);
        done += part;
        CHECK(cache.length() == done);
        CHECK(largest_difference(logits, full.select(1, done - 1)) < 1e-5 * full.abs().max().item<double>());
      }
    }
  }
}

TEST_CASE("greedy generation takes the largest logit each time, to a stop or the context") {
  const DecoderSpec spec = tiny::llama_spec();
  const auto decoder = tiny::random_decoder(spec);
  const at::NoGradGuard no_grad;
  GenerationOptions options;
  options.max_tokens = 12;
  const Generated got = generate_tokens(*decoder, {1, 2, 3}, options);
  REQUIRE(got.tokens.size() == 12);
  CHECK_FALSE(got.stopped);
  Batch batch = tiny::make_batch({{15}}, 15, 61);
  const std::vector<TokenId> prompt = {1, 2, 3};
  for (std::size_t i = 0; i < 15; ++i) {
    batch.tokens[i] = static_cast<std::int32_t>(i < 3 ? prompt[i] : got.tokens[i - 3]);
  }
  const at::Tensor best = all_logits(*decoder, batch).argmax(-1).select(0, 0);
  for (std::size_t i = 3; i < 15; ++i) CHECK(best[i - 1].item<std::int64_t>() == got.tokens[i - 3]);

  options.stop_ids = {got.tokens[4]};
  const auto first = std::find(got.tokens.begin(), got.tokens.end(), got.tokens[4]) - got.tokens.begin();
  const Generated stopped = generate_tokens(*decoder, prompt, options);
  CHECK(stopped.stopped);
  CHECK(stopped.tokens == std::vector<TokenId>(got.tokens.begin(), got.tokens.begin() + first));

  GenerationOptions longest;
  longest.max_tokens = 1000;
  CHECK(generate_tokens(*decoder, prompt, longest).tokens.size() ==
        64 - 3 + 1);  // the last needs no slot of its own
  int calls = 0;
  CHECK(generate_tokens(*decoder, prompt, longest, [&](TokenId) { return ++calls < 5; }).tokens.size() == 5);
  CHECK_THROWS_AS(generate_tokens(*decoder, {}, options), Error);
  CHECK_THROWS_AS(generate_tokens(*decoder, {61}, options), Error);
}

TEST_CASE("sampling is repeatable and follows seed and prompt index") {
  const auto decoder = tiny::random_decoder(tiny::llama_spec());
  GenerationOptions options;
  options.max_tokens = 20;
  options.temperature = 1;
  const auto draw = [&](std::uint64_t seed, std::uint64_t sample) {
    options.seed = seed;
    options.sample = sample;
    return generate_tokens(*decoder, {1, 2}, options).tokens;
  };
  CHECK(draw(1, 0) == draw(1, 0));
  CHECK(draw(1, 0) != draw(2, 0));
  CHECK(draw(1, 0) != draw(1, 1));
}

TEST_CASE("draws have the probabilities of the filtered softmax") {
  const std::vector<float> logits = {0.0F, 2.0F, 1.0F, -1.0F, 1.0F};
  const auto shares = [&](const GenerationOptions& options) {
    std::map<TokenId, double> share;
    const int draws = 4000;
    for (int i = 0; i < draws; ++i) share[sample_token(logits, options, (i + 0.5) / draws)] += 1.0 / draws;
    return share;
  };
  GenerationOptions options;
  options.temperature = 0.5;
  auto all = shares(options);  // exp(2 x): 1, e4, e2, e-2, e2
  const double total = 1 + std::exp(4.0) + 2 * std::exp(2.0) + std::exp(-2.0);
  CHECK(all[1] == Approx(std::exp(4.0) / total).margin(1e-3));
  CHECK(all[4] == Approx(std::exp(2.0) / total).margin(1e-3));
  options.top_k = 2;  // of the two equal ones the lower id stays
  auto two = shares(options);
  CHECK(two.size() == 2);
  CHECK(two[2] == Approx(1 / (1 + std::exp(2.0))).margin(1e-3));
  options.top_k = 0;
  options.temperature = 1;
  options.top_p = 0.55;  // e2 / (1 + e2 + 2e + 1/e) = 0.52, so one more is needed
  CHECK(shares(options).size() == 2);
  options.top_p = 0.5;
  CHECK(shares(options).size() == 1);
  options.temperature = 0;
  CHECK(sample_token(logits, options, 0.99) == 1);
}

TEST_CASE("prompts answered together get the answers that each gets alone") {
  for (const DecoderSpec& spec : generating_specs()) {
    const auto decoder = tiny::random_decoder(spec);
    GenerationOptions options;
    options.max_tokens = 9;
    std::vector<std::vector<TokenId>> prompts;
    for (TokenId i = 0; i < 37; ++i) {  // of 1 to 12 tokens, more than run together
      prompts.emplace_back();
      for (TokenId k = 0; k <= (i * 5) % 12; ++k) prompts.back().push_back((7 * i + 3 * k) % 61);
    }
    const std::vector<TokenId> first = generate_tokens(*decoder, prompts[0], options).tokens;
    options.stop_ids = {first[4]};  // some stop, some do not
    for (const double temperature : {0.0, 1.0}) {
      options.temperature = temperature;
      const std::vector<Generated> together = generate_together(*decoder, prompts, options);
      REQUIRE(together.size() == prompts.size());
      std::size_t stopped = 0;
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        GenerationOptions one = options;
        one.sample = options.sample + i;
        const Generated alone = generate_tokens(*decoder, prompts[i], one);
        CHECK(together[i].tokens == alone.tokens);
        CHECK(together[i].stopped == alone.stopped);
        stopped += alone.stopped ? 1 : 0;
      }
      CHECK(stopped > 0);
      CHECK(stopped < prompts.size());
    }
  }
}

TEST_CASE("sequences run together as far as their caches fit") {
  DecoderSpec spec = tiny::llama_spec();
  CHECK(sequences_together(spec, 64, at::kFloat) == 16);
  spec.num_layers = 32;
  spec.num_kv_heads = 8;
  spec.head_size = 128;  // 128 kB a token in bf16
  CHECK(sequences_together(spec, 64, at::kBFloat16) == 8);
  CHECK(sequences_together(spec, 4096, at::kBFloat16) == 1);
  spec.rotary.scaling = RotaryScaling::LongRope;
  CHECK(sequences_together(spec, 64, at::kBFloat16) == 1);
}
