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
ExampleSet read_recipe_examples(const DataSection& data, const std::vector<SourceSection>& sources);
LossOn parse_loss_on(const std::string& name);  // completion | assistant | last_assistant | all

}  // namespace lathe
