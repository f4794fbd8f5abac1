#include "trainer/evaluate/evaluate.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "data/pipeline/loader.h"
#include "models/objectives/causal_lm.h"

namespace lathe {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// One row of a text's tokens [begin, begin + length), each predicting the next.
Batch window_batch(const std::vector<TokenId>& ids, std::size_t begin, std::size_t length) {
  Batch batch;
  batch.rows = 1;
  batch.length = static_cast<std::int64_t>(length);
  for (std::size_t i = 0; i < length; ++i) {
    batch.tokens.push_back(static_cast<std::int32_t>(ids[begin + i]));
    batch.targets.push_back(static_cast<std::int32_t>(ids[begin + i + 1]));
    batch.positions.push_back(static_cast<std::int32_t>(i));
  }
  batch.stretches.push_back({0, static_cast<std::int32_t>(length), 0, 0});
  batch.target_count = batch.token_count = batch.length;
  return batch;
}

Loader rows_of(const SetEvaluation& evaluation) {
  LoaderOptions options;
  options.sequence_length = evaluation.sequence_length;
  options.shuffle = false;
  options.padding = !evaluation.tuning;
  return Loader(*evaluation.set, options);
}

}  // namespace

std::vector<double> row_losses(Decoder& decoder, const SetEvaluation& evaluation, std::uint64_t most) {
  at::NoGradGuard no_grad;
  Loader loader = rows_of(evaluation);
  std::vector<double> losses;
  for (std::uint64_t row = 0; row < std::min(most, loader.rows_per_epoch()); ++row) {
    const ObjectiveValue value = causal_lm_loss(decoder, loader.read(row, 1), {});
    if (value.count > 0) losses.push_back(value.sum.item<double>() / static_cast<double>(value.count));
  }
  return losses;
}

EvaluationMetrics evaluate_set(Decoder& decoder, const SetEvaluation& evaluation, Ranks& ranks) {
  const auto start = std::chrono::steady_clock::now();
  at::NoGradGuard no_grad;
  Loader loader = rows_of(evaluation);
  std::uint64_t rows = loader.rows_per_epoch();
  if (evaluation.max_rows > 0) rows = std::min(rows, static_cast<std::uint64_t>(evaluation.max_rows));
  const auto world = static_cast<std::uint64_t>(ranks.info().world_size);
  const auto micro = static_cast<std::uint64_t>(evaluation.micro_batch_size);
  const auto following = [&](RowRange batch) -> std::optional<RowRange> {
    const std::uint64_t next = batch.first + world * micro;
    if (next >= rows) return std::nullopt;
    return RowRange{next, static_cast<std::int64_t>(std::min(micro, rows - next))};
  };
  double loss = 0, count = 0;
  for (std::uint64_t first = static_cast<std::uint64_t>(ranks.info().rank) * micro; first < rows;
       first += world * micro) {
    const auto take = static_cast<std::int64_t>(std::min(micro, rows - first));
    const Batch batch = loader.read(first, take, following);
    const ObjectiveValue value = causal_lm_loss(decoder, batch, {});
    if (evaluation.between) evaluation.between();
    loss += value.sum.item<double>();
    count += static_cast<double>(value.count);
  }
  const std::vector<double> sums = ranks.sum(std::vector<double>{loss, count});
  EvaluationMetrics metrics;
  metrics.set = evaluation.set->name;
  require(sums[1] > 0, "validation set '", evaluation.set->name,
          "' has no token to predict; give it more text");
  metrics.loss = sums[0] / sums[1];
  metrics.perplexity = std::exp(metrics.loss);
  metrics.tokens = static_cast<std::int64_t>(sums[1]);
  const double share = sums[1] / static_cast<double>(std::max<std::uint64_t>(1, loader.tokens_per_epoch()));
  const double first_tokens =
      evaluation.tuning ? 0 : static_cast<double>(evaluation.set->ledger.documents_kept) * share;
  const double nats = sums[0] + first_tokens * std::log(static_cast<double>(decoder.spec().vocab_size));
  metrics.bits_per_byte = nats / std::log(2.0) / (static_cast<double>(evaluation.set->bytes) * share);
  metrics.seconds = seconds_since(start);
  return metrics;
}

std::int64_t logit_rows(const DecoderSpec& spec) {
  constexpr std::int64_t kBytes = std::int64_t{32} << 20;
  return std::clamp<std::int64_t>(kBytes / (4 * spec.vocab_size), 16, 1024);
}

TextEvaluation evaluate_text(Decoder& decoder, const Tokenizer& tokenizer, const std::string& text,
                             std::int64_t context) {
  at::NoGradGuard no_grad;
  const std::vector<TokenId> ids = tokenizer.ids(text);
  require(ids.size() >= 2, "the text has ", ids.size(), " tokens; at least 2 are needed to predict one");
  TextEvaluation result;
  result.bytes = static_cast<std::int64_t>(text.size());
  double loss = 0, right = 0;
  for (std::size_t begin = 0; begin + 1 < ids.size(); begin += static_cast<std::size_t>(context)) {
    const std::size_t length = std::min(static_cast<std::size_t>(context), ids.size() - 1 - begin);
    const Batch batch = window_batch(ids, begin, length);
    const at::Tensor hidden = decoder.forward(decoder_input(batch));
    const at::Tensor targets =
        at::tensor(std::vector<std::int64_t>(batch.targets.begin(), batch.targets.end()));
    const std::int64_t some = logit_rows(decoder.spec());
    for (std::int64_t at = 0; at < hidden.size(0); at += some) {  // (some, V) logits at a time
      const std::int64_t end = std::min(at + some, hidden.size(0));
      const at::Tensor logits = decoder.logits(hidden.slice(0, at, end));
      const at::Tensor target = targets.slice(0, at, end);
      loss += at::cross_entropy_loss(logits, target, {}, at::Reduction::Sum).item<double>();
      right += static_cast<double>(logits.argmax(1).eq(target).sum().item<std::int64_t>());
    }
    result.tokens += static_cast<std::int64_t>(length);
  }
  result.loss = loss / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.loss);
  result.token_accuracy = right / static_cast<double>(result.tokens);
  result.bits_per_byte = loss / std::log(2.0) / static_cast<double>(text.size());
  return result;
}

}  // namespace lathe
