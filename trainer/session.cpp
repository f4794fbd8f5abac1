#include "trainer/session.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "checkpoints/bundle/grow.h"
#include "checkpoints/formats/safetensors.h"
#include "models/decoder/weights.h"
#include "trainer/machine.h"
#include "models/adapters/attach.h"
#include "trainer/model_source.h"

namespace lathe {

namespace {

constexpr std::int64_t kEndless = std::int64_t{1} << 40;

PreparedData prepare_on_all_ranks(const Recipe& recipe, Ranks& ranks, const std::function<void(const std::string&)>& say) {
  std::string last_phase;
  const PrepareProgress progress = [&](const std::string& phase, double) {
    if (phase != last_phase) say("prepare: " + phase);
    last_phase = phase;
  };
  PreparedData data;
  ranks.leader_alone("preparing the data", [&] { data = prepare_for(recipe, progress); });
  if (!ranks.leader()) data = prepare_for(recipe);
  return data;
}

// An export that must fail is told before anything is trained.
void refuse_what_peft_cannot_say(const Session& session) {
  for (const ExportSection& target : session.recipe().exports) {
    if (target.format != "peft") continue;
    portable_base(session.recipe().model.path);
    PeftAdapter adapter;
    for (const Parameter& parameter : session.parameters) adapter.tensors.push_back(from_tensor(parameter.name, parameter.master));
    peft_tensors(adapter, *session.plan.family, session.plan.spec, /*exact=*/true);
  }
}

// What training starts from, with rows for the tokens that the recipe adds.
Bundle load_base(const Session& session) {
  return grow_vocabulary(load_model(resolve_model(session.recipe().model.path)), session.plan.first_added,
                         session.plan.added);
}

// A frozen base with adapters: no gradient, no fp32 copy and no record but those of the adapters.
void make_adapted_model(Session& session) {
  const Recipe& recipe = session.recipe();
  const auto type = session.precision == "bf16" ? at::kBFloat16 : at::kFloat;
  LinearStorage storage(type);
  storage.nf4 = recipe.model.quantization.kind == "nf4";
  storage.double_quantised = recipe.model.quantization.double_;
  session.model = build_decoder(load_base(session), storage);
  attach_adapters(*session.model, adapter_spec(recipe.adapter), static_cast<std::uint64_t>(recipe.train.seed));
  if (session.plan.added > 0) session.model->train_token_rows(session.plan.first_added, session.plan.added);
  std::vector<std::pair<std::string, at::Tensor>> named;
  for (const auto& item : session.model->named_parameters()) {
    if (item.value().requires_grad()) named.emplace_back(item.key(), item.value());
  }
  session.parameters = make_parameters(named);
  refuse_what_peft_cannot_say(session);
}

// The base's tensors that `freeze` names: a pattern is one or more whole parts of a name, as in layers.0 or embed_tokens.
std::vector<BundleTensor> frozen_tensors(const Bundle& base, const std::vector<std::string>& patterns) {
  std::vector<BundleTensor> frozen;
  std::set<std::string> used;
  for (const BundleTensor& tensor : base.tensors) {
    bool matches = false;
    for (const std::string& pattern : patterns) {
      if (("." + tensor.name + ".").find("." + pattern + ".") == std::string::npos) continue;
      used.insert(pattern);
      matches = true;
    }
    if (matches) frozen.push_back(tensor);
  }
  for (const std::string& pattern : patterns)
    if (!used.count(pattern)) fail_usage("model.freeze: no parameter has '", pattern, "' in its name, such as ", base.tensors.back().name);
  if (frozen.size() == base.tensors.size()) fail_usage("model.freeze names every parameter: nothing would be trained");
  return frozen;
}

// The model in its training precision and its records; masters hold the unrounded fp32 initial values.
void make_model(Session& session) {
  const Recipe& recipe = session.recipe();
  if (!recipe.adapter.kind.empty()) return make_adapted_model(session);
  const bool bf16 = session.precision == "bf16";
  auto full = std::make_shared<Decoder>(session.plan.spec, at::kFloat);
  if (recipe.model.path.empty()) {
    full->initialise(static_cast<std::uint64_t>(recipe.train.seed));
  } else {
    const Bundle base = load_base(session);
    load_parameters(*full, base.tensors);
    session.frozen = frozen_tensors(base, recipe.model.freeze);
  }
  session.model = bf16 ? std::make_shared<Decoder>(session.plan.spec, at::kBFloat16) : full;
  std::vector<std::pair<std::string, at::Tensor>> named;
  const auto is_frozen = [&](const std::string& name) {
    return std::any_of(session.frozen.begin(), session.frozen.end(), [&](const BundleTensor& t) { return t.name == name; });
  };
  for (auto& item : session.model->named_parameters()) {
    if (is_frozen(item.key())) item.value().set_requires_grad(false);
    else named.emplace_back(item.key(), item.value());
  }
  if (bf16) {
    at::NoGradGuard no_grad;
    auto masters = full->named_parameters();
    for (auto& item : session.model->named_parameters()) item.value().copy_(masters[item.key()]);
    session.parameters = make_parameters(named);
    for (Parameter& parameter : session.parameters) parameter.master = masters[parameter.name].detach();
  } else {
    session.parameters = make_parameters(named);
  }
}

void make_loader(Session& session) {
  const Recipe& recipe = session.recipe();
  session.loader = std::make_unique<Loader>(session.data.train, loader_options(recipe));
  if (recipe.task == "sft") choose_tuning_length(session.loaded.recipe.train, session.loader->rows_per_epoch());
  const RunLength length = run_length(recipe.train, session.loader->rows_per_epoch(), session.loader->tokens_per_epoch());
  session.total_steps = length.steps;
  session.total_rows = length.rows;
  session.last_step =
      std::clamp<std::int64_t>(std::llround(session.options.share * static_cast<double>(length.steps)), 1, length.steps);
  const int ranks = session.ranks->info().world_size;
  session.expected = plan_settings(recipe, session.precision, session.micro_batch_size, ranks);
  if (recipe.task == "sft")
    session.expected.batch_tokens = tuning_batches(*session.loader, session.micro_batch_size, length.rows);
}

// Before there are weights. The ranks of a machine share its memory. A run that never began leaves no recipe behind, which
// would refuse the changed one.
void refuse_too_large(const Session& session) {
  const std::int64_t limit = memory_limit() / session.ranks->info().local_world_size;
  const std::string advice = advice_to_fit(session.plan.spec, session.expected, limit);
  if (advice.empty()) return;
  if (!session.run.existed) {
    std::filesystem::remove(session.run.path + "/recipe.yaml");
    std::error_code ignored;   // a folder with anything else in it stays
    std::filesystem::remove(session.run.path, ignored);
  }
  fail_usage(advice);
}

Json exactness_key(const Session& session) {
  Json json = Json::object();
  json["threads"] = session.threads;
  json["instruction_set"] = instruction_set();
  json["precision"] = session.precision;
  json["micro_batch_size"] = session.micro_batch_size;
  json["ranks"] = session.ranks->info().world_size;
  json["build"] = build_id();
  return json;
}

void resume(Session& session, const std::function<void(const std::string&)>& say) {
  CheckpointStore store(session.run.path);
  const auto newest = store.newest([&](const std::string& text) { say("warning: " + text); });
  const Json now = exactness_key(session);
  if (!newest) {
    session.state.resolved = now;
    return;
  }
  session.state = load_checkpoint(newest->path, session.checkpoint_parts(), session.parameters, *session.optimizer);
  const std::string difference = exactness_difference(session.state.resolved, now);
  say(cat("resumed from step ", session.state.step, difference.empty() ? " (bit-exact)" : ""));
  if (!difference.empty()) say("not bit-exact: " + difference);
  session.state.resolved = now;
}

// `auto` values are resolved once: a resumed run keeps the micro-batch and precision that it began with.
void resolve_automatic(Session& session) {
  const Recipe& recipe = session.recipe();
  session.threads = resolve_threads(static_cast<long>(recipe.train.threads));
  if (session.ranks->info().local_world_size > 1 && recipe.train.threads == 0)
    session.threads = std::max(1, session.threads / session.ranks->info().local_world_size);
  set_compute_threads(session.threads);
  session.precision = resolve_precision(recipe.train.precision);
  session.micro_batch_size = choose_micro_batch(recipe, session.ranks->info().world_size);
  const CheckpointStore store(session.run.path);
  const auto entries = store.list();
  if (!session.run.existed || entries.empty()) return;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (!CheckpointStore::check(entry->path).empty()) continue;
    const Json resolved = read_train_state(entry->path).resolved;
    if (recipe.train.precision == "auto") session.precision = resolved.value("precision", session.precision);
    if (!recipe.train.micro_batch_size && resolved.value("ranks", 0) == session.ranks->info().world_size)
      session.micro_batch_size = resolved.value("micro_batch_size", session.micro_batch_size);
    return;
  }
}

void write_run_json(const Session& session) {
  Json json = Json::object();
  json["format"] = "lathe-run";
  json["version"] = "0.1.0";
  json["name"] = session.recipe().name;
  json["data_sha256"] = session.data.data_sha256;
  json["tokenizer_sha256"] = session.data.tokenizer->fingerprint();
  json["base"] = session.recipe().model.path;
  json["seed"] = session.recipe().train.seed;
  json["parameters"] = parameter_count(session.plan.spec);
  json["total_steps"] = session.total_steps;
  json["resolved"] = session.state.resolved;
  json["machine"] = machine_description();
  write_file_atomically(session.run.path + "/run.json", json.dump(2) + "\n");
}

}  // namespace

CheckpointParts Session::checkpoint_parts() const {
  CheckpointParts parts{plan.family, plan.config, plan.spec, data.tokenizer, print_recipe(loaded), frozen, std::nullopt};
  const AdapterSection& section = recipe().adapter;
  if (section.kind.empty()) return parts;
  PeftAdapter& adapter = parts.adapter.emplace();
  adapter.kind = section.kind == "dora" ? "dora" : "lora";
  adapter.rank = section.rank;
  adapter.alpha = section.alpha;
  adapter.dropout = section.dropout;
  adapter.rank_stabilised = section.kind == "rslora";
  adapter.targets = section.targets;
  adapter.base = recipe().model.path;
  if (plan.added > 0) {
    std::vector<std::int64_t>& ids = adapter.token_rows["embed_tokens"];
    for (std::int64_t i = 0; i < plan.added; ++i) ids.push_back(plan.first_added + i);
    if (!plan.spec.tie_embeddings) adapter.token_rows["lm_head"] = ids;
  }
  return parts;
}

LoaderOptions loader_options(const Recipe& recipe) {
  LoaderOptions options;
  options.sequence_length = recipe.data.sequence_length;
  options.seed = static_cast<std::uint64_t>(recipe.train.seed);
  options.padding = recipe.task == "pretrain";
  return options;
}

RunLength run_length(const TrainSection& train, std::uint64_t rows_per_epoch, std::uint64_t tokens_per_epoch) {
  const double batch = static_cast<double>(train.global_batch_size);
  RunLength length{kEndless, static_cast<std::uint64_t>(kEndless)};
  const auto limit_rows = [&](double rows) {
    length.rows = std::min(length.rows, static_cast<std::uint64_t>(std::ceil(rows)));
  };
  if (train.epochs) limit_rows(*train.epochs * static_cast<double>(rows_per_epoch));
  if (train.max_tokens)
    limit_rows(static_cast<double>(*train.max_tokens) * static_cast<double>(rows_per_epoch) /
               static_cast<double>(std::max<std::uint64_t>(1, tokens_per_epoch)));
  if (train.max_steps) limit_rows(static_cast<double>(*train.max_steps) * batch);
  length.steps = static_cast<std::int64_t>(std::ceil(static_cast<double>(length.rows) / batch));
  return length;
}

void choose_tuning_length(TrainSection& train, std::uint64_t rows) {
  if (train.max_steps || train.epochs || train.max_tokens || train.max_minutes) return;
  const double updates = 100, per_epoch = static_cast<double>(rows) / static_cast<double>(train.global_batch_size);
  train.epochs = std::clamp(std::round(updates / per_epoch), 3.0, 15.0);
}

std::int64_t choose_micro_batch(const Recipe& recipe, int world_size) {
  const std::int64_t global = recipe.train.global_batch_size;
  if (global % world_size != 0)
    fail_usage("train.global_batch_size ", global, " cannot be shared by ", world_size,
               " ranks; choose a multiple of the number of ranks");
  const std::int64_t share = global / world_size;
  if (recipe.train.micro_batch_size) {
    const std::int64_t micro = std::min(*recipe.train.micro_batch_size, share);
    if (share % micro != 0)
      fail_usage("train.micro_batch_size ", micro, " does not divide the ", share, " rows of a rank");
    return micro;
  }
  std::int64_t best = 1;
  for (std::int64_t micro = 1; micro <= share; ++micro)
    if (share % micro == 0 && micro * recipe.data.sequence_length <= 8192) best = micro;
  return best;
}

Session open_session(const LoadedRecipe& loaded, const TrainOptions& options,
                     const std::function<void(const std::string&)>& say) {
  Session session;
  session.loaded = loaded;
  session.options = options;
  session.ranks = std::make_unique<Ranks>(rank_from_environment());
  session.ranks->leader_alone("opening the run", [&] { session.run = open_run(loaded, options.fresh); });
  session.run.finished = session.ranks->max(session.run.finished ? 1 : 0) > 0;
  if (!session.leader()) {
    session.run.path = loaded.recipe.directory;
    session.run.existed = true;
  }
  resolve_automatic(session);
  session.data = prepare_on_all_ranks(session.recipe(), *session.ranks, say);
  session.plan = plan_model(session.recipe(), *session.data.tokenizer);
  make_loader(session);
  session.ranks->leader_alone("planning the memory", [&] { refuse_too_large(session); });
  make_model(session);
  session.optimizer = make_optimizer(session.recipe().optimizer, session.parameters, 0);
  resume(session, say);
  session.loader->seek(session.state.cursor);
  if (session.leader()) {
    session.writer = std::make_unique<CheckpointWriter>(session.run.path, session.checkpoint_parts());
    write_run_json(session);
  }
  return session;
}

}  // namespace lathe
