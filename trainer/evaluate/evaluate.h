#pragma once
// Held-out loss: of a prepared set (by rows, while training) and of a text file (by overlapping windows, the
// command).
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/shards/prepare.h"
#include "models/decoder/decoder.h"
#include "trainer/parallel/ranks.h"
#include "trainer/report/metrics.h"

namespace lathe {

struct SetEvaluation {
  const PreparedSet* set = nullptr;
  std::int64_t sequence_length = 512, micro_batch_size = 8, max_rows = 0;
  bool tuning = false;  // rows without padding; only supervised text is charged, first tokens are given
  std::function<void()> between;  // called between batches; may throw where one rank evaluates alone
};

// Sum over all target tokens divided by their count. bits_per_byte charges every byte: a document's first
// token, which nothing predicts, costs log2(V). Rows are shared among ranks; every rank returns the same.
EvaluationMetrics evaluate_set(Decoder& decoder, const SetEvaluation& evaluation, Ranks& ranks);

// The mean loss of each of the set's first `most` rows that predict something, in their order, on this rank
// alone: what a paired test compares before and after.
std::vector<double> row_losses(Decoder& decoder, const SetEvaluation& evaluation, std::uint64_t most);

// Rows whose logits are made at once: 32 MB of them, 16 to 1,024.
std::int64_t logit_rows(const DecoderSpec& spec);

struct TextEvaluation {
  double loss = 0, perplexity = 0, bits_per_byte = 0, token_accuracy = 0;
  std::int64_t tokens = 0, bytes = 0;
};

// The whole text as one document, no special tokens, token i >= 1 scored once, windows of `context` tokens
// that overlap by one; every byte in the denominator.
TextEvaluation evaluate_text(Decoder& decoder, const Tokenizer& tokenizer, const std::string& text,
                             std::int64_t context);

}  // namespace lathe
