#pragma once
// What Gemma's generations share: RMSNorm with 1 + weight before and after each branch, scaled embeddings, a
// gated GELU (tanh) MLP, a scale of attention that is its own key, layers with and without windows.
#include "checkpoints/bundle/dense.h"

namespace lathe {

struct GemmaRecipe : DenseRecipe {
  std::int64_t sliding_window = 512;
  std::optional<double> query_pre_attn_scalar;
  std::optional<double> final_logit_softcapping;
  static void fields(auto& f, auto& c) {
    DenseRecipe::fields(f, c);
    f("sliding_window", c.sliding_window, "tokens that one attends to in the layers with a window",
      range(1, kMaxTokens));
    f("query_pre_attn_scalar", c.query_pre_attn_scalar,
      "scores are divided by its square root; default head_dim", range(1e-6, 1e9));
    f("final_logit_softcapping", c.final_logit_softcapping, "cap of the logits; default none",
      range(1e-3, 1e6));
  }
};

// A layer has a window unless its number, from 1, is a multiple of `pattern`.
std::vector<std::string> gemma_layer_types(std::int64_t layers, std::int64_t pattern);
Json gemma_config(const Family& family, const FamilyInput& input, GemmaRecipe& recipe,
                  RecipeChecker& checker);
// Everything but positions, caps of scores and norms of queries and keys. `pattern`: see above, where
// layer_types is absent.
DecoderSpec describe_gemma(const ConfigReader& config, std::int64_t default_positions, std::int64_t pattern);
// GgufNames::lacks of what both have; models of `largest` layers have a scale of attention of their own
// there.
std::string gemma_gguf_lacks(const DecoderSpec& spec, std::int64_t largest);

}  // namespace lathe
