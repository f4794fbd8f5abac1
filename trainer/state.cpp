#include "trainer/state.h"

#include <ATen/ATen.h>

#include <map>
#include <thread>

#include "checkpoints/formats/safetensors.h"
#include "models/decoder/weights.h"

namespace lathe {

Json TrainState::to_json() const {
  Json json = Json::object();
  json["format"] = "lathe-state";
  json["version"] = 1;
  json["step"] = step;
  json["cursor"] = cursor;
  json["tokens"] = tokens;
  json["seconds"] = seconds;
  json["best_loss"] = best_loss;
  json["best_step"] = best_step;
  json["bad_evaluations"] = bad_evaluations;
  json["norm_window"] = norm_window;
  json["skipped_steps"] = skipped_steps;
  json["resolved"] = resolved;
  return json;
}

TrainState TrainState::from_json(const Json& json, const std::string& where) {
  TrainState state;
  state.step = json_get<std::int64_t>(json, "step", where);
  state.cursor = json_get<std::uint64_t>(json, "cursor", where);
  state.tokens = json_get<std::int64_t>(json, "tokens", where);
  state.seconds = json_get<double>(json, "seconds", where);
  state.best_loss = json_get<double>(json, "best_loss", where);
  state.best_step = json_get<std::int64_t>(json, "best_step", where);
  state.bad_evaluations = json_get<std::int64_t>(json, "bad_evaluations", where);
  state.norm_window = json_get<std::vector<double>>(json, "norm_window", where);
  state.skipped_steps = json_get<std::int64_t>(json, "skipped_steps", where);
  state.resolved = json_get<Json>(json, "resolved", where);
  return state;
}

std::string exactness_difference(const Json& before, const Json& now) {
  std::string text;
  for (const auto& [key, value] : now.items()) {
    if (before.contains(key) && before.at(key) == value) continue;
    const std::string old = before.contains(key) ? before.at(key).dump() : "unknown";
    text += cat(text.empty() ? "" : ", ", key, " ", old, " -> ", value.dump());
  }
  return text;
}

struct CheckpointWriter::Worker {
  std::thread thread;
  std::exception_ptr error;
};

CheckpointWriter::CheckpointWriter(const std::string& run_directory, CheckpointParts parts)
    : directory_(run_directory), parts_(std::move(parts)), worker_(std::make_unique<Worker>()) {}

CheckpointWriter::~CheckpointWriter() {
  if (worker_->thread.joinable()) worker_->thread.join();
}

void CheckpointWriter::wait() {
  if (worker_->thread.joinable()) worker_->thread.join();
  if (worker_->error) std::rethrow_exception(std::exchange(worker_->error, nullptr));
}

namespace {

std::vector<CheckpointFile> checkpoint_files(const CheckpointParts& parts, const TrainState& state,
                                             std::vector<BundleTensor> weights, std::vector<BundleTensor> moments) {
  std::vector<CheckpointFile> files;
  files.push_back({"config.json", {}, parts.config.dump(2) + "\n"});
  files.push_back({"recipe.yaml", {}, parts.recipe_text});
  files.push_back({"state.json", {}, state.to_json().dump(2) + "\n"});
  for (const TokenizerFile& file : parts.tokenizer->files()) files.push_back({file.name, {}, file.content});
  if (parts.adapter) {
    PeftAdapter adapter = *parts.adapter;
    adapter.tensors = std::move(weights);
    adapter.targets = peft_targets(adapter, *parts.family, parts.spec);
    files.push_back({kPeftConfig, {}, peft_config(adapter).dump(2) + "\n"});
    files.push_back({kPeftTensors, peft_tensors(adapter, *parts.family, parts.spec, /*exact=*/false), ""});
  } else {
    Bundle bundle;
    bundle.family = parts.family;
    bundle.config = parts.config;
    bundle.spec = parts.spec;
    bundle.tensors = std::move(weights);
    for (const BundleTensor& tensor : parts.frozen) bundle.tensors.push_back(convert_tensor(tensor, DType::F32));
    files.push_back({"model.safetensors", disk_tensors(bundle), ""});
  }
  files.push_back({"optimizer.safetensors", std::move(moments), ""});
  return files;
}

}  // namespace

void CheckpointWriter::save(const TrainState& state, const std::vector<Parameter>& parameters,
                            const Optimizer& optimizer, std::int64_t keep_last, bool keep_best) {
  wait();
  // The copy the loop waits for; everything after it reads only these clones.
  std::vector<BundleTensor> weights, moments;
  for (const Parameter& parameter : parameters) weights.push_back(from_tensor(parameter.name, parameter.master.clone()));
  for (const BundleTensor& tensor : optimizer.state())
    moments.push_back(from_tensor(tensor.name, to_tensor(tensor).clone()));
  std::optional<std::int64_t> best;
  if (keep_best && state.best_step >= 0) best = state.best_step;
  auto work = [this, state, keep_last, best, weights = std::move(weights), moments = std::move(moments)]() mutable {
    try {
      CheckpointStore store(directory_);
      store.save(state.step, checkpoint_files(parts_, state, std::move(weights), std::move(moments)), keep_last, best);
    } catch (...) {
      worker_->error = std::current_exception();
    }
  };
  worker_->thread = std::thread(std::move(work));
}

TrainState read_train_state(const std::string& path) {
  return TrainState::from_json(read_json(path + "/state.json"), path + "/state.json");
}

namespace {

// What was trained, under internal names: the whole model, or its adapter.
std::map<std::string, BundleTensor> trained_tensors(const std::string& path, const CheckpointParts& parts) {
  std::map<std::string, BundleTensor> internal;
  if (parts.adapter) {
    for (BundleTensor& tensor : read_peft(path, *parts.family, parts.spec).tensors)
      internal.emplace(tensor.name, std::move(tensor));
    return internal;
  }
  std::map<std::string, BundleTensor> on_disk;
  for (BundleTensor& tensor : read_safetensors(path + "/model.safetensors").tensors)
    on_disk.emplace(tensor.name, std::move(tensor));
  for (BundleTensor& tensor : internal_tensors(*parts.family, parts.spec, std::move(on_disk), path))
    internal.emplace(tensor.name, std::move(tensor));
  return internal;
}

}  // namespace

TrainState load_checkpoint(const std::string& path, const CheckpointParts& parts, std::vector<Parameter>& parameters,
                           Optimizer& optimizer) {
  const std::map<std::string, BundleTensor> internal = trained_tensors(path, parts);
  for (Parameter& parameter : parameters) {
    const auto found = internal.find(parameter.name);
    require(found != internal.end(), path, ": tensor '", parameter.name, "' is missing");
    at::NoGradGuard no_grad;
    parameter.master.copy_(to_tensor(found->second));
    if (!parameter.master.is_same(parameter.weight)) parameter.weight.copy_(parameter.master);
  }
  optimizer.load_state(read_safetensors(path + "/optimizer.safetensors").tensors);
  return read_train_state(path);
}

}  // namespace lathe
