#pragma once
// What the command line calls MODEL: a run (best checkpoint when validated, else the last; @last, @best, @step-100), an
// export, any Hugging Face folder, or a Hub id looked up offline in the local cache.
#include <string>

#include "checkpoints/bundle/bundle.h"

namespace lathe {

struct ModelSource {
  std::string folder;        // holds config.json and safetensors
  std::string run;           // the run's directory, or empty
  std::int64_t step = -1;    // of a run's checkpoint
  std::string description;   // "runs/x, checkpoint step 300 (best validation loss)"
};

ModelSource resolve_model(const std::string& model);
Bundle load_model(const ModelSource& source);

}  // namespace lathe
