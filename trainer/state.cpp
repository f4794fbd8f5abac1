#include "trainer/state.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include <atomic>
#include <map>
#include <thread>

#include "checkpoints/formats/safetensors.h"
#include "models/decoder/weights.h"

namespace lathe {

namespace {

// Unrounded weights beside a checkpoint whose model is the averages.
const std::string kMaster = "master.";

}  // namespace

bool TrainState::remember(double loss, double min_delta) {
  if (!std::isfinite(loss)) {  // a run that diverged has no best
    bad_evaluations += 1;
    return false;
  }
  const bool first = best_step < 0;
  if (first || loss < patience_loss - min_delta) {
    patience_loss = loss;
    bad_evaluations = 0;
  } else {
    bad_evaluations += 1;
  }
  if (!first && !(loss < best_loss)) return false;
  best_loss = loss;
  best_step = step;
  return true;
}

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
  json["patience_loss"] = patience_loss;
  json["bad_evaluations"] = bad_evaluations;
  json["norm_window"] = norm_window;
  json["loss_window"] = loss_window;
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
  // Once both were one: the best was the last that counted.
  state.patience_loss = json_get_or<double>(json, "patience_loss", state.best_loss, where);
  state.bad_evaluations = json_get<std::int64_t>(json, "bad_evaluations", where);
  state.norm_window = json_get<std::vector<double>>(json, "norm_window", where);
  state.loss_window = json_get_or<std::vector<double>>(json, "loss_window", {}, where);
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
  std::atomic<bool> running{false};
  std::exception_ptr error;
};

CheckpointWriter::CheckpointWriter(const std::string& run_directory, const Task& task,
                                   std::string recipe_text, FileSystem& files)
    : directory_(run_directory),
      task_(task),
      recipe_text_(std::move(recipe_text)),
      files_(files),
      worker_(std::make_unique<Worker>()) {}

CheckpointWriter::~CheckpointWriter() {
  if (worker_->thread.joinable()) worker_->thread.join();
}

bool CheckpointWriter::busy() const { return worker_->running; }

void CheckpointWriter::wait() {
  if (worker_->thread.joinable()) worker_->thread.join();
  if (worker_->error) std::rethrow_exception(std::exchange(worker_->error, nullptr));
}

namespace {

std::vector<CheckpointFile> checkpoint_files(const Task& task, const std::string& recipe_text,
                                             const TrainState& state, std::vector<BundleTensor> weights,
                                             std::vector<BundleTensor> moments) {
  std::vector<CheckpointFile> files = task.model_files(std::move(weights));
  files.push_back({"recipe.yaml", {}, recipe_text});
  files.push_back({"state.json", {}, state.to_json().dump(2) + "\n"});
  files.push_back({"optimizer.safetensors", std::move(moments), ""});
  return files;
}

}  // namespace

void CheckpointWriter::save(const TrainState& state, const Trained& trained, std::int64_t keep_last,
                            bool keep_best) {
  wait();
  // The copy the loop waits for; everything after it reads only these clones.
  std::vector<BundleTensor> weights, moments;
  for (std::size_t i = 0; i < trained.parameters.size(); ++i) {
    const Parameter& parameter = trained.parameters[i];
    const at::Tensor& kept = trained.averages ? trained.averages->values()[i] : parameter.master;
    weights.push_back(from_tensor(parameter.name, kept.clone()));
    if (trained.averages) moments.push_back(from_tensor(kMaster + parameter.name, parameter.master.clone()));
  }
  for (const BundleTensor& tensor : trained.optimizer.state())
    moments.push_back(from_tensor(tensor.name, to_tensor(tensor).clone()));
  std::optional<std::int64_t> best;
  if (keep_best && state.best_step >= 0) best = state.best_step;
  auto work = [this, state, keep_last, best, weights = std::move(weights),
               moments = std::move(moments)]() mutable {
    try {
      CheckpointStore store(directory_, files_);
      store.save(state.step,
                 checkpoint_files(task_, recipe_text_, state, std::move(weights), std::move(moments)),
                 keep_last, best);
    } catch (...) {
      worker_->error = std::current_exception();
    }
    worker_->running = false;
  };
  worker_->running = true;
  worker_->thread = std::thread(std::move(work));
}

TrainState read_train_state(const std::string& path) {
  return TrainState::from_json(read_json(path + "/state.json"), path + "/state.json");
}

TrainState load_checkpoint(const std::string& path, const Task& task, const Trained& trained) {
  const at::NoGradGuard no_grad;
  const std::map<std::string, BundleTensor> kept = task.read_weights(path);
  const std::vector<BundleTensor> moments = read_safetensors(path + "/optimizer.safetensors").tensors;
  std::map<std::string, at::Tensor> masters;
  for (const BundleTensor& tensor : moments)
    if (tensor.name.starts_with(kMaster))
      masters.emplace(tensor.name.substr(kMaster.size()), to_tensor(tensor));
  for (std::size_t i = 0; i < trained.parameters.size(); ++i) {
    Parameter& parameter = trained.parameters[i];
    const auto found = kept.find(parameter.name);
    require(found != kept.end(), path, ": tensor '", parameter.name, "' is missing");
    at::Tensor value = to_tensor(found->second);
    if (trained.averages) {
      trained.averages->values()[i].copy_(value);
      require(masters.count(parameter.name) > 0, path, ": tensor '", kMaster, parameter.name, "' is missing");
      value = masters[parameter.name];
    }
    parameter.master.copy_(value);
    if (!parameter.master.is_same(parameter.weight)) parameter.weight.copy_(parameter.master);
  }
  trained.optimizer.load_state(moments);
  return read_train_state(path);
}

}  // namespace lathe
