// What a text task trains: a whole decoder, parts of a base, or adapters on a frozen one.
#include <ATen/core/Tensor.h>

#include "checkpoints/bundle/grow.h"
#include "models/adapters/attach.h"
#include "models/decoder/weights.h"
#include "trainer/freeze.h"
#include "trainer/masters.h"
#include "trainer/model_source.h"
#include "trainer/session.h"
#include "trainer/text/text_task.h"

namespace lathe {

namespace {

// An export that must fail is told before anything is trained.
void refuse_what_peft_cannot_say(const Session& session, const TextTask& task) {
  for (const ExportSection& target : session.recipe().exports) {
    if (target.format != "peft") continue;
    portable_base(session.recipe().model.path);
    PeftAdapter adapter;
    for (const Parameter& parameter : session.parameters)
      adapter.tensors.push_back(from_tensor(parameter.name, parameter.master));
    peft_tensors(adapter, *task.plan.family, task.plan.spec, /*exact=*/true);
  }
}

// What training starts from, with rows for the tokens that the recipe adds.
Bundle load_base(const Session& session, const TextTask& task) {
  return grow_vocabulary(load_model(resolve_model(session.recipe().model.path)), task.plan.first_added,
                         task.plan.added);
}

// A frozen base with adapters: no gradient, no fp32 copy and no record but those of the adapters.
void make_adapted_model(Session& session, TextTask& task) {
  const Recipe& recipe = session.recipe();
  const auto type = session.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  LinearStorage storage = frozen_storage(type);
  storage.nf4 = recipe.model.quantization.kind == "nf4";
  storage.double_quantised = recipe.model.quantization.double_;
  task.model = build_decoder(load_base(session, task), storage);
  attach_adapters(*task.model, adapter_spec(recipe.adapter), static_cast<std::uint64_t>(recipe.train.seed));
  if (task.plan.added > 0) task.model->train_token_rows(task.plan.first_added, task.plan.added);
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& item : task.model->named_parameters()) {
    if (item.tensor.requires_grad()) named.emplace_back(item.name, item.tensor);
  }
  session.parameters = make_parameters(named);
  refuse_what_peft_cannot_say(session, task);
}

// The base's tensors that `freeze` names.
std::vector<BundleTensor> frozen_tensors(const Bundle& base, const std::vector<std::string>& patterns) {
  std::vector<std::string> names;
  for (const BundleTensor& tensor : base.tensors) names.push_back(tensor.name);
  check_freeze(names, patterns);
  std::vector<BundleTensor> frozen;
  for (const BundleTensor& tensor : base.tensors)
    if (is_frozen(tensor.name, patterns)) frozen.push_back(tensor);
  return frozen;
}

// The recipe's adapter, with the rows of the tokens that it adds.
PeftAdapter text_adapter(const Recipe& recipe, const ModelPlan& plan) {
  PeftAdapter adapter = adapter_settings(recipe.adapter, recipe.model.path);
  if (plan.added > 0) {
    std::vector<std::int64_t>& ids = adapter.token_rows["embed_tokens"];
    for (std::int64_t i = 0; i < plan.added; ++i) ids.push_back(plan.first_added + i);
    if (!plan.spec.tie_embeddings) adapter.token_rows["lm_head"] = ids;
  }
  return adapter;
}

}  // namespace

// In its training precision; masters hold the unrounded fp32 initial values.
void TextTask::build(Session& session) {
  const Recipe& recipe = session.recipe();
  if (!recipe.adapter.kind.empty()) {
    adapter = text_adapter(recipe, plan);
    return make_adapted_model(session, *this);
  }
  auto full = std::make_shared<Decoder>(plan.spec, at::kFloat);
  if (recipe.model.path.empty()) {
    full->initialise(static_cast<std::uint64_t>(recipe.train.seed));
  } else {
    const Bundle base = load_base(session, *this);
    load_parameters(*full, base.tensors);
    frozen = frozen_tensors(base, recipe.model.freeze);
  }
  const bool bf16 = session.precision == "bf16";
  model = bf16 ? std::make_shared<Decoder>(plan.spec, at::kBFloat16) : full;
  if (bf16) round_into(*model, *full);
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& item : model->named_parameters()) {
    if (!frozen.empty() && is_frozen(item.name, recipe.model.freeze))
      item.tensor.set_requires_grad(false);
    else
      named.emplace_back(item.name, item.tensor);
  }
  session.parameters = make_parameters(named);
  if (bf16) keep_masters(session.parameters, *full);
}

}  // namespace lathe
