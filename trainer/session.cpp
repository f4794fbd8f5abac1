#include "trainer/session.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "trainer/allocator.h"
#include "trainer/export_targets.h"
#include "trainer/machine.h"

namespace lathe {

namespace {

constexpr std::int64_t kEndless = std::int64_t{1} << 40;  // steps
constexpr std::uint64_t kEndlessRows = std::uint64_t{1} << 62;

void measure_length(Session& session) {
  const RunLength length =
      run_length(session.recipe().train, session.task->rows_per_epoch(), session.task->units_per_epoch());
  session.total_steps = length.steps;
  session.total_rows = length.rows;
  session.last_step = std::clamp<std::int64_t>(
      std::llround(session.options.share * static_cast<double>(length.steps)), 1, length.steps);
}

// Before there are weights. The ranks of a machine share its memory. A run that never began leaves no recipe
// behind, which would refuse the changed one.
void refuse_too_large(Session& session) {
  const std::int64_t limit = memory_limit() / session.ranks->info().local_world_size;
  const std::string advice = session.task->objection(session, limit);
  if (advice.empty()) return;
  if (!session.run.existed) {
    std::filesystem::remove(session.run.path + "/recipe.yaml");
    std::filesystem::remove(session.run.path + "/lock");
    std::error_code ignored;  // a folder with anything else in it stays
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

// What is resumed must be what was begun: the same data, tokenizer or classes, by content. run.json has their
// hashes.
void refuse_changed_data(const Session& session) {
  const std::string path = session.run.path + "/run.json";
  if (!session.run.existed || !std::filesystem::exists(path) ||
      CheckpointStore(session.run.path).list().empty())
    return;
  const Json before = read_json(path), now = session.task->identity(session);
  std::string differences;
  const auto text = [](const Json& value) {
    return value.is_string() ? value.get<std::string>().substr(0, 12) : value.dump();
  };
  for (const auto& [key, value] : now.items())
    if (key != "base" && before.contains(key) && before.at(key) != value)  // the base's path is the recipe's
      differences += cat("\n  ", key, ": ", text(before.at(key)), " -> ", text(value));
  if (differences.empty()) return;
  fail_usage("'", session.run.path,
             "' was begun on other data or another base; what it reads has changed since:", differences,
             "\nbring that back to go on exactly, give the changed one another name (name: or "
             "directory:), or start over with "
             "--fresh, which keeps the old run as ",
             session.run.path, ".1");
}

// A run that kept something is never begun anew over what it left.
void refuse_lost(const Session& session, const CheckpointStore& store) {
  const std::string& run = session.run.path;
  const std::string fresh =
      cat("start over with --fresh, which keeps this run as ", run, ".1, or put a whole copy back");
  const std::size_t damaged = store.list().size();
  if (damaged > 0)
    fail("'", run, "' has ", damaged, damaged == 1 ? " checkpoint, and it is" : " checkpoints, and all are",
         " damaged, so there is no step to go on from; ", fresh);
  if (session.run.finished)
    fail("'", run, "' is finished, but its checkpoints are gone, so there is no step to go on from; ", fresh);
}

void resume(Session& session, const Say& say) {
  CheckpointStore store(session.run.path);
  const auto newest = store.newest([&](const std::string& text) { say("warning: " + text); });
  const Json now = exactness_key(session);
  if (!newest) {
    refuse_lost(session, store);
    session.state.resolved = now;
    return;
  }
  session.state = load_checkpoint(newest->path, *session.task, session.trained());
  const std::string difference = exactness_difference(session.state.resolved, now);
  session.ranks->leader_alone("putting damaged checkpoints aside", [&] {
    for (const std::string& name : store.put_aside_after(newest->step))
      say("kept aside as checkpoints/" + name);
  });
  say(cat("resumed from step ", session.state.step, difference.empty() ? " (bit-exact)" : ""));
  if (!difference.empty()) say("not bit-exact: " + difference);
  session.state.resolved = now;
}

}  // namespace

bool go_back(Session& session) {
  if (session.writer) session.writer->wait();
  session.ranks->barrier();
  const auto newest = CheckpointStore(session.run.path).newest([](const std::string&) {});
  if (newest) load_checkpoint(newest->path, *session.task, session.trained());
  return newest.has_value();
}

namespace {

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
  json["task"] = session.recipe().task;
  json.update(session.task->identity(session));
  json["seed"] = session.recipe().train.seed;
  json["parameters"] = session.task->parameters();
  json["total_steps"] = session.total_steps;
  json["resolved"] = session.state.resolved;
  json["machine"] = machine_description();
  write_file_atomically(session.run.path + "/run.json", json.dump(2) + "\n");
}

// Of one row, for the choice of a micro-batch: a picture counts as patches of 4 x 4 and its caption.
std::int64_t row_tokens(const Recipe& recipe) {
  if (recipe.task != "diffusion") return recipe.data.sequence_length;
  const std::vector<std::int64_t>& sides = recipe.data.resolution;
  return sides.front() * sides.back() / 16 + recipe.diffusion.text_encoder.max_length;
}

}  // namespace

RowSchedule Session::row_schedule() const {
  return {total_rows, recipe().train.global_batch_size, micro_batch_size, ranks->info().rank,
          ranks->info().world_size};
}

RunLength run_length(const TrainSection& train, std::uint64_t rows_per_epoch,
                     std::uint64_t tokens_per_epoch) {
  const double batch = static_cast<double>(train.global_batch_size);
  RunLength length{kEndless, kEndlessRows};
  const auto limit_rows = [&](double rows) {
    if (rows < static_cast<double>(kEndlessRows))
      length.rows = std::min(length.rows, static_cast<std::uint64_t>(std::ceil(rows)));
  };
  if (train.epochs) limit_rows(*train.epochs * static_cast<double>(rows_per_epoch));
  if (train.max_tokens)
    limit_rows(static_cast<double>(*train.max_tokens) * static_cast<double>(rows_per_epoch) /
               static_cast<double>(std::max<std::uint64_t>(1, tokens_per_epoch)));
  if (train.max_steps) limit_rows(static_cast<double>(*train.max_steps) * batch);
  const double steps = std::ceil(static_cast<double>(length.rows) / batch);
  length.steps = static_cast<std::int64_t>(std::min(steps, static_cast<double>(kEndless)));
  return length;
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
  const std::int64_t tokens = row_tokens(recipe);
  for (std::int64_t micro = 1; micro <= share; ++micro)
    if (share % micro == 0 && micro * tokens <= 8192) best = micro;
  return best;
}

Session open_session(const LoadedRecipe& loaded, const TrainOptions& options, const Say& say) {
  Session session;
  session.loaded = loaded;
  session.options = options;
  session.ranks = std::make_unique<Ranks>(rank_from_environment());
  session.ranks->leader_alone("opening the run", [&] {
    session.run = open_run(loaded, options.fresh);
    require_export_folders(session.run, loaded.recipe);  // else it is told when all is trained
  });
  session.run.finished = session.ranks->max(session.run.finished ? 1 : 0) > 0;
  if (!session.leader()) {
    session.run.path = loaded.recipe.directory;
    session.run.existed = true;
  }
  resolve_automatic(session);
  session.task = make_task(session.recipe());
  session.task->prepare(session, say);
  measure_length(session);
  session.ranks->leader_alone("planning the memory", [&] {
    refuse_changed_data(session);
    refuse_too_large(session);
  });
  keep_free_blocks(slack_of_training(/*frozen_base=*/!session.recipe().adapter.kind.empty()));
  session.task->build(session);
  session.optimizer = make_optimizer(session.recipe().optimizer, session.parameters, 0);
  if (session.recipe().ema.decay > 0)
    session.averages = std::make_unique<Averages>(session.parameters, session.recipe().ema.decay);
  resume(session, say);
  session.task->seek(session.state.cursor);
  if (session.leader()) {
    session.writer =
        std::make_unique<CheckpointWriter>(session.run.path, *session.task, print_recipe(session.loaded));
    write_run_json(session);
  }
  return session;
}

}  // namespace lathe
