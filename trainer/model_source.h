#pragma once
// What the command line calls MODEL: a run (best checkpoint when validated, else the last; @last, @best,
// @step-100), an export, any Hugging Face folder, or a Hub id looked up offline in the local cache.
#include <string>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/peft.h"
#include "data/shards/prepare.h"

namespace lathe {

struct ModelSource {
  std::string folder;       // holds config.json and safetensors
  std::string run;          // the run's directory, or empty
  std::int64_t step = -1;   // of a run's checkpoint
  std::string description;  // "runs/x, checkpoint step 300 (best validation loss)"
};

ModelSource resolve_model(const std::string& model);
// prepare_data with the recipe's base found first: a run's checkpoint, a folder, a cached Hub id.
PreparedData prepare_for(const Recipe& recipe, const PrepareProgress& progress = {},
                         ReadyCheck check = ReadyCheck::Sizes);

// An adapter folder (a tuned run's checkpoint, or one that PEFT wrote) gives its base with the adapter merged
// in fp32.
Bundle load_model(const ModelSource& source);

// The base that an adapter or a new word names, or, of a run that went on with its base at another place, the
// one that its recipe names. Error that says what to do when it is gone.
struct FoundBase {
  std::string model;  // as it is named
  ModelSource source;
};
FoundBase find_base(const std::string& base, const ModelSource& source);
// Error for an adapter or a new word, of a run or exported, on a base that is not what it was trained on any
// more: whatever it were merged into, it was not what was measured.
void refuse_changed_base(const ModelSource& source, const ModelSource& base);

// The base and the adapter of such a folder, apart.
struct AdaptedModel {
  Bundle base;
  PeftAdapter adapter;
};
AdaptedModel load_adapted(const ModelSource& source);
// What load_model gives of them.
Bundle merged_model(const AdaptedModel& model, const ModelSource& source);
// The base as other programs find it: the absolute path of a folder, or the Hub's id of a cached model. Error
// when the base is an adapter itself.
std::string portable_base(const std::string& base);

// What cards say, without this machine's folders: "x, checkpoint step 300 (last)"; a folder's own name or the
// Hub's id.
std::string shipped_description(const ModelSource& source);
std::string shipped_base(const std::string& base);

}  // namespace lathe
