#pragma once
// A model that is read, not trained: answers, verification, evaluation. Matrices stay as their files hold
// them and are widened where products are computed in a wider type; an adapter works beside its base.
#include <memory>

#include "models/decoder/decoder.h"
#include "trainer/model_source.h"

namespace lathe {

struct ReadModel {
  Bundle bundle;  // with the adapter merged, lazily
  std::shared_ptr<Decoder> decoder;
};
// Error when an adapter changes nothing, as load_model.
ReadModel read_model(const ModelSource& source, const LinearStorage& storage);
// The same of a base and its adapter that are there already.
std::shared_ptr<Decoder> read_adapted(const AdaptedModel& model, const LinearStorage& storage);

// Error when the model came without a tokenizer that is read here.
void require_tokenizer(const Bundle& model);

}  // namespace lathe
