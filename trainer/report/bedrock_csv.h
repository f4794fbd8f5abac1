#pragma once
// The two files of figures that Bedrock writes for a customization job, as those who come from there read
// them: https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-analyze.html
#include <cstdint>
#include <string>

namespace lathe {

// Reads <run>/metrics.jsonl, writes <run>/step_wise_training_metrics.csv (step_number, epoch_number,
// training_loss, perplexity) and, where something was evaluated, <run>/validation_metrics.csv
// (validation_loss in its place; the first set; after folds, which are under <run>/parts, their mean at the
// steps that all of them reached). Steps and epochs begin with 0: what the weights that are measured have
// behind them. Perplexity is exp(loss).
void write_bedrock_csv(const std::string& run, std::int64_t rows_per_step, std::int64_t rows_per_epoch);

}  // namespace lathe
