#pragma once
// reference.json of an export: prompts, ids, logits and greedy tokens that its tensors gave, computed in
// fp32, and what a model read from its files gives beside them. Prompts go through the blocks side by side in
// one row, each seeing only itself.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "models/decoder/decoder.h"

namespace lathe {

// Of what is compared: prompts, and the first tokens of each.
constexpr std::int64_t kReferencePrompts = 6, kReferencePositions = 32;

struct Verification {
  double max_error = 0;  // largest absolute difference of a logit
  double largest_logit = 0;
  bool same_ids = true;
  bool same_tokens = true;  // each greedy token is still the likeliest after those before it
  std::optional<double>
      rounding_error;  // of a quantised export: largest change of a logit against the weights before
  std::optional<double> quantization_error;  // base trained in 4 bits: largest change of a logit against that
                                             // base with its adapter
  std::string damaged;  // a file that is not as MANIFEST.json says, if one was looked for
  std::string endless;  // why an engine would not stop behind an answer (stop_objection), if it would not
  bool passed() const {
    return damaged.empty() && endless.empty() && same_ids && same_tokens && max_error <= tolerance();
  }
  double tolerance() const { return tolerance(largest_logit); }
  static double tolerance(double logit) { return 1e-4 * std::max(1.0, logit); }
  Json to_json() const;
};

using Sequences = std::vector<std::vector<TokenId>>;

// Prompts that have tokens, and the first kReferencePositions of each.
struct Prompts {
  std::vector<std::string> texts;
  Sequences ids;
};
Prompts prompts_of(const Bundle& bundle, const std::vector<std::string>& texts);

// Calls use(i, logits (T, V) fp32) for each sequence. All go through the blocks together, so that what is
// kept in a file's types is widened once; logits are there for one sequence at a time.
using LogitsUse = std::function<void(std::size_t i, const at::Tensor& logits)>;
void each_logits(Decoder& decoder, const Sequences& sequences, const LogitsUse& use);

Json make_reference(const Bundle& bundle, Decoder& decoder, const std::string& dtype, const Prompts& prompts);
// Ids, logits and greedy tokens of the model beside those of reference.json; `where` is that file.
Verification compare_reference(const Json& reference, const Bundle& bundle, Decoder& decoder,
                               const std::string& where);

}  // namespace lathe
