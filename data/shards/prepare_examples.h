#pragma once
// Tuning data -> shards: examples are read, split, rendered with the model's own template and tokenised with
// their loss marks. A few dozen or thousand records: done anew at each start, in memory; the shards are
// content-addressed like all others, so an unchanged set is written once.
#include "data/shards/prepare.h"

namespace lathe {

// recipe.model.path is a folder (a name was resolved above). Errors name the record: one too long under
// `overlength: error`, one with nothing to learn, sources of other shapes.
PreparedData prepare_examples(const Recipe& recipe, const PrepareProgress& progress = {});

// What `data` says of reading records.
ExampleOptions example_options(const DataSection& data);
ExampleSet read_recipe_examples(const DataSection& data, const std::vector<SourceSection>& sources);
// What a row has room for: as many inputs, and the target of the last.
void cut_to_row(TokenExample& tokens, std::int64_t sequence_length);
LossOn parse_loss_on(const std::string& name);  // completion | assistant | last_assistant | all

}  // namespace lathe
