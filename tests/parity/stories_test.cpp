// A real model: the 260 K parameter story teller of llama2.c (stories260K in Hugging Face's layout, beside an
// expected.json of greedy continuations computed by transformers), where the shared data are.
#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>

#include "checkpoints/bundle/bundle.h"
#include "data/io/json.h"
#include "models/decoder/weights.h"
#include "models/generation/generate.h"
#include "tests/catch.h"
#include "tests/parity/golden.h"
#include "tests/shared_data.h"

using namespace lathe;

TEST_CASE("stories260K tells transformers' stories") {
  const std::string folder = test::shared_data("weights/stories260K");
  if (test::skipped_without(folder)) return;
  const auto decoder = build_decoder(read_bundle(folder), at::kFloat);
  const Json expected = read_json(folder + "/expected.json");
  for (const Json& run : expected.at("runs")) {
    INFO(run.at("name").get<std::string>());
    const auto prompt = run.at("prompt_ids").get<std::vector<TokenId>>();
    const auto wanted = run.at("greedy_ids").get<std::vector<TokenId>>();  // prompt included
    const at::Tensor logits = at::tensor(run.at("last_prompt_logits").get<std::vector<float>>());
    KvCache cache(decoder->spec(), 1, 1, at::kFloat);
    const at::Tensor ids =
        at::tensor(run.at("prompt_ids").get<std::vector<std::int64_t>>(), at::kLong).unsqueeze(0);
    CHECK(golden::error_of(decoder->forward_cached(ids, cache)[0], logits) < golden::kTolerance);
    GenerationOptions options;
    options.max_tokens = static_cast<std::int64_t>(wanted.size() - prompt.size());
    const Generated got = generate_tokens(*decoder, prompt, options);
    CHECK(got.tokens ==
          std::vector<TokenId>(wanted.begin() + static_cast<std::ptrdiff_t>(prompt.size()), wanted.end()));
  }
}
