// lathe train RECIPE: prepares what is missing, resumes what is there, trains, exports, reports.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <utility>

#include "data/io/shell_word.h"
#include "trainer/allocator.h"
#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/export_targets.h"
#include "trainer/machine.h"
#include "trainer/parts.h"
#include "trainer/report/format.h"
#include "trainer/report/run_log.h"
#include "trainer/report/tuning.h"
#include "trainer/signals.h"
#include "trainer/text/forget_answers.h"
#include "trainer/train.h"

namespace lathe {

namespace {

struct Arguments {
  std::string recipe, profile;
  std::vector<std::string> overrides;
  bool fresh = false, strict = false;
  int processes = 1;
  std::int64_t stop_after = 0;
};

const char* reason_text(StopReason reason) {
  switch (reason) {
    case StopReason::Finished:
      return "finished";
    case StopReason::StopAfter:
      return "stop_after";
    case StopReason::Interrupted:
      return "interrupted";
    case StopReason::TimeUp:
      return "max_minutes";
    case StopReason::EarlyStopping:
      return "early_stopping";
  }
  return "";
}

// What a run is among several (parts.h).
struct Role {
  bool part = false;           // one of them; else the run itself
  bool examples_told = false;  // the data report was printed for another
  TrainOptions options;
  std::vector<PartResult> results;  // of the parts, judged with the run's own
};

// Empty where only training tells: the progress line does then.
std::string time_expected(const Session& session) {
  const double seconds = session.task->expected_seconds(session);
  if (seconds <= 0) return "";
  return seconds < 1 ? "; time less than a second"
                     : cat("; time very roughly ", format_duration(seconds),
                           " (matrix products timed here; evaluation not counted)");
}

void say_before_start(const Context& context, const Session& session) {
  if (context.quiet) return;  // products are timed for it
  const Recipe& recipe = session.recipe();
  std::vector<std::string> lines = session.task->opening_lines(session);
  lines.back() += cat(", ", session.precision, ", ", session.threads, " threads, ", instruction_set());
  for (const std::string& line : lines) context.log(line);
  const std::int64_t peak = session.task->peak_memory(session);
  const std::string memory = peak == 0 ? ""
                                       : cat("; memory about ", format_bytes(static_cast<double>(peak)),
                                             " of ", format_bytes(static_cast<double>(memory_limit())));
  context.log(
      cat("batch: ", recipe.train.global_batch_size, " rows = ", session.ranks->info().world_size,
          " ranks x ", session.micro_batch_size, " rows x ",
          recipe.train.global_batch_size / session.ranks->info().world_size / session.micro_batch_size,
          " accumulated; ", session.last_step, " steps", memory, time_expected(session)));
  for (const std::string& warning : session.warnings) context.log("warning: " + warning);
}

// Whether the run that is here came to its end by early stopping, on the schedule that it still has.
bool ended_early(const Session& session) {
  const std::string path = session.run.path + "/result.json";
  if (!session.run.finished || !std::filesystem::exists(path)) return false;
  const Json result = read_json(path);
  return result.value("reason", "") == reason_text(StopReason::EarlyStopping) &&
         result.value("total_steps", std::int64_t{-1}) == session.total_steps &&
         result.value("steps", std::int64_t{-1}) == session.state.step;
}

// Of the weights that are kept and exported: the best, or the last where checkpoint.keep_best is off and the
// best are gone. It may have been seen before the run was resumed.
EvaluationMetrics kept_evaluation_of(const Session& session, const TrainOutcome& outcome) {
  const EvaluationMetrics& last = outcome.last_evaluation;
  const auto kept = CheckpointStore(session.run.path).list();
  const std::int64_t best = session.state.best_step;
  const bool has_best =
      std::any_of(kept.begin(), kept.end(), [&](const CheckpointEntry& entry) { return entry.step == best; });
  if (!has_best) return last;
  const RunLog log = read_run_log(session.run.path + "/metrics.jsonl");
  const EvaluationMetrics* found = evaluation_at(log, best, last.set);
  return found ? *found : last;
}

Json result_json(const Session& session, const TrainOutcome& outcome, const EvaluationMetrics& kept) {
  Json json = Json::object();
  const bool finished = outcome.reason == StopReason::Finished || outcome.reason == StopReason::EarlyStopping;
  json["finished"] = finished;
  json["reason"] = reason_text(outcome.reason);
  json["steps"] = session.state.step;
  json["total_steps"] = session.total_steps;
  const std::string unit = session.task->unit();
  json[unit] = session.state.tokens;
  json["seconds"] = session.state.seconds;
  json[unit + "_per_second"] =
      session.state.seconds > 0 ? static_cast<double>(session.state.tokens) / session.state.seconds : 0;
  json["seconds_to_first_step"] = outcome.seconds_to_first_step;
  json["data_seconds"] = outcome.data_seconds;
  if (session.state.best_step >= 0)
    json["best_step"] = session.state.best_step;  // absent: not evaluated since step 0
  json["skipped_steps"] = session.state.skipped_steps;
  if (!outcome.last_evaluation.set.empty()) {
    json["first_validation_loss"] = outcome.first_evaluation.loss;
    json["validation_loss"] = kept.loss;  // of what is exported
    if (session.state.best_step >= 0) json["best_validation_loss"] = session.state.best_loss;
    json["last_validation_loss"] = outcome.last_evaluation.loss;
    json.update(session.task->evaluated(kept));
  }
  json["peak_memory"] = memory_use().peak;
  json["parameters"] = session.task->parameters();
  json["precision"] = session.precision;
  json["run"] = session.run.path;
  return json;
}

void write_reports(const Session& session, const Json& result, const Json& tuning) {
  write_file_atomically(session.run.path + "/result.json", result.dump(2) + "\n");
  ReportInput report;
  report.run_directory = session.run.path;
  report.title = session.recipe().name;
  report.summary = result;
  report.recipe_values = print_recipe(session.loaded);
  report.ledger = session.task->ledger();
  if (!session.recipe().report.shows())
    for (Json& set : report.ledger) {
      if (set.is_object()) set.erase("left_out");  // names of files may be captions
    }
  report.tuning = tuning;
  write_report(report);
}

// What a run that went on too long is told.
std::string worse_since(const Session& session, const TrainOutcome& outcome) {
  if (session.state.best_step < 0 || outcome.last_evaluation.loss <= 1.02 * session.state.best_loss)
    return "";
  return cat("; at step ", session.state.step, " it was ", outcome.last_evaluation.loss,
             ": more data, fewer steps or more weight decay would serve");
}

// Step 0 is never the best step, but it may have been better.
std::string lower_before(const Session& session, const TrainOutcome& outcome) {
  const EvaluationMetrics& first = outcome.first_evaluation;
  if (first.set.empty() || first.step != 0 || first.loss >= session.state.best_loss)
    return ", the lowest of those evaluated";
  return cat(", the lowest since training began; before it, it was ", first.loss);
}

// Why it ended before its last step; "" where it did not.
std::string ended_because(const Session& session, const TrainOutcome& outcome) {
  const std::string at = cat(" at step ", session.state.step, " of ", session.last_step, ": ");
  const EarlyStoppingSection& patience = session.recipe().early_stopping;
  switch (outcome.reason) {
    case StopReason::EarlyStopping:
      return cat("stopped early", at, patience.patience,
                 " evaluations without a held-out loss lower by more than ", patience.min_delta,
                 " (early_stopping)");
    case StopReason::TimeUp:
      return cat("stopped", at, "train.max_minutes is over");
    case StopReason::StopAfter:
      return cat("stopped", at, "--stop-after; the same command without it goes on");
    default:
      return "";
  }
}

// Of a finished run: the exports that its recipe names now and that are not there, each with its command.
void say_missing_exports(const Context& context, const Session& session) {
  for (const ExportSection& target : session.recipe().exports) {
    const std::string folder = export_folder(session.run, target);
    if (std::filesystem::exists(folder)) continue;
    context.say(cat("export ", target.format, " is not there yet:  lathe export ",
                    shell_word(session.run.path), " --format ", target.format,
                    target.quantize.empty() ? "" : " --quantize " + target.quantize, " --output ",
                    shell_word(folder)));
  }
}

void say_at_end(const Context& context, const Session& session, const TrainOutcome& outcome,
                const EvaluationMetrics& kept, const Json& result) {
  const std::string& path = session.run.path;
  if (const std::string why = ended_because(session, outcome); !why.empty()) context.say(why);
  if (!outcome.last_evaluation.set.empty() && session.state.best_step < 0)
    context.say(cat(session.task->one_line(kept), " at step ", kept.step,
                    ", before training; the run stopped before it was evaluated again"));
  else if (!outcome.last_evaluation.set.empty() && kept.step != session.state.best_step)
    context.say(cat(session.task->one_line(kept), " at step ", kept.step, ", which is kept; the lowest was ",
                    session.state.best_loss, " at step ", session.state.best_step,
                    " (checkpoint.keep_best is off)"));
  else if (!outcome.last_evaluation.set.empty())
    context.say(cat(session.task->one_line(kept), " at step ", session.state.best_step,
                    lower_before(session, outcome), worse_since(session, outcome)));
  // The loader reads ahead: a step that still waits is held up by the disk.
  if (outcome.data_seconds > 1 && outcome.data_seconds > 0.05 * outcome.seconds)
    context.say(
        cat(format_duration(outcome.data_seconds), " of ", format_duration(outcome.seconds),
            " of training were spent waiting for data: put data.cache (the shards) on a faster disk"));
  if (session.state.skipped_steps > 0)
    context.say(cat(session.state.skipped_steps, " of ", session.state.step,
                    " steps were left out as spikes (train.on_spike); metrics.jsonl names them"));
  context.say(cat("run: ", path, "   report: ", path, "/report.html"));
  for (const Json& folder : result.value("exports", Json::array()))
    if (!folder.contains("error"))
      context.say(cat("export: ", folder.at("directory").get<std::string>(), " (largest error ",
                      folder.at("max_error").get<double>(), ")"));
  if (!failed_exports(result.value("exports", Json::array())).empty()) say_missing_exports(context, session);
  context.say("next: " + session.task->next_commands(session));
}

ExitCode train_rank(Context& context, const Arguments& arguments, const LoadedRecipe& loaded,
                    const Role& role = {}) {
  TrainOptions options = role.options;
  options.fresh = arguments.fresh;
  options.quiet = context.quiet;
  if (arguments.stop_after > 0) options.stop_after = arguments.stop_after;
  const bool speaks = rank_from_environment().rank == 0;
  install_signal_handlers(speaks);
  context.json = context.json && speaks;
  const auto say = [&](const std::string& line) {
    if (speaks) context.log(line);
  };
  Session session = open_session(loaded, options, say);
  const bool stopped_early = ended_early(session);
  if (session.run.finished && (session.state.step >= session.last_step || stopped_early)) {
    if (speaks)
      context.say(cat("'", session.run.path, "' is finished (", session.state.step, " steps",
                      stopped_early ? ", stopped early" : "", "); nothing to do. ",
                      stopped_early ? "Start" : "Raise train.max_steps to go on, or start",
                      " over with --fresh."));
    if (speaks) say_missing_exports(context, session);
    context.result = read_json(session.run.path + "/result.json");
    return ExitCode::Done;
  }
  if (session.run.finished) session.state.bad_evaluations = 0;  // who goes on from an end is patient anew
  if (session.leader()) {
    if (!role.examples_told)
      session.task->say_data(
          session, arguments.strict, [&](const std::string& line) { context.log(line); },
          [&](const std::string& line) {
            if (context.quiet) std::cerr << line << std::endl;  // --quiet keeps faults
          });
    say_before_start(context, session);
  }
  if (session.state.step == 0) {
    const AllocatorScope scope;
    session.ranks->leader_alone("asking the base", [&] { session.task->before_first_step(session, say); });
  }
  const TrainOutcome outcome = train(session);
  release_free_blocks();
  session.ranks->leader_alone("reporting and exporting", [&] {
    const EvaluationMetrics kept = kept_evaluation_of(session, outcome);
    Json result = result_json(session, outcome, kept);
    const bool ended = result["finished"].get<bool>() || outcome.reason == StopReason::TimeUp;
    const Json tuning = ended ? session.task->report(session, role.results, say) : Json();
    if (!tuning.is_null()) result["verdict"] = tuning.at("verdict");
    if (ended) result["exports"] = session.task->export_run(session, say);
    result["peak_memory"] = memory_use().peak;
    if (!arguments.profile.empty() && !role.part) {
      const Json profile = profile_of(outcome.phases, outcome.steps, outcome.wall_seconds);
      write_file_atomically(arguments.profile, profile.dump(2) + "\n");
      result["profile"] = profile;
      context.say(profile_text(profile));
    }
    write_reports(session, result, tuning);
    if (!tuning.is_null())
      (role.part ? context.log(tuning_summary(tuning)) : context.say(tuning_summary(tuning)));
    if (!role.part) say_at_end(context, session, outcome, kept, result);
    context.result = result;
  });
  if (outcome.reason == StopReason::Interrupted) {
    if (speaks)
      context.say(
          cat("interrupted at step ", session.state.step, " and saved; the same command goes on from there"));
    return ExitCode::Interrupted;
  }
  const std::string failed = failed_exports(context.result.value("exports", Json::array()));
  if (speaks && !failed.empty()) fail(failed);
  return ExitCode::Done;
}

// Folds and seeds one after another, each a run of its own, then the run itself.
ExitCode train_parts(Context& context, Arguments arguments, const LoadedRecipe& loaded) {
  if (rank_from_environment().world_size > 1)
    fail_usage("folds and several seeds run one after another on one rank; leave --processes out");
  const RunDirectory whole =
      open_run(loaded, arguments.fresh);  // a changed recipe is refused before any part runs
  require_export_folders(whole, loaded.recipe);
  arguments.fresh = false;
  if (whole.finished && answers_forgotten(whole.path)) {
    context.say(cat("'", whole.path,
                    "' is finished, and its answers were not kept (report.examples: none), so "
                    "it cannot be judged again; start over with --fresh."));
    context.result = read_json(whole.path + "/result.json");
    return ExitCode::Done;
  }
  LoadedRecipe own = loaded;
  own.recipe.checkpoint.resume = "auto";
  Role role;
  role.examples_told = whole.finished;
  const std::vector<Part> parts = parts_of(loaded);
  for (const Part& part : parts) {
    const std::string& run = part.loaded.recipe.directory;
    if (is_ended(run)) {
      context.log(part.name + ": done, in " + run);
      continue;
    }
    context.log("--- " + part.name);
    Role its;
    its.part = true;
    its.examples_told = std::exchange(role.examples_told, true);
    its.options.base_answers = part.base_answers;
    const ExitCode code = train_rank(context, arguments, part.loaded, its);
    if (code != ExitCode::Done || !is_ended(run)) return code;
  }
  role.results = read_parts(parts);
  if (parts.front().fold > 0 && loaded.recipe.data.validation.folds.fold == 0) {
    role.options.share = best_share(role.results);
    context.log(cat("--- all examples, for ", format_fixed(100 * role.options.share, 0),
                    " % of the schedule: where the median of ", parts.size(), " runs was best"));
  } else {
    role.options.base_answers = parts.front().base_answers;
    context.log(cat("--- seed ", loaded.recipe.train.seed));
  }
  return train_rank(context, arguments, own, role);
}

ExitCode train_command(Context& context, const Arguments& arguments) {
  const LoadedRecipe loaded = checked_recipe(arguments.recipe, arguments.overrides);
  const RankInfo rank = rank_from_environment();
  if (arguments.processes > 1 && rank.world_size > 1 && rank.launcher != "lathe")
    fail_usage("--processes ", arguments.processes, ": this is rank ", rank.rank, " of ", rank.world_size,
               " (", rank.launcher,
               "'s variables); leave --processes out, or start one process without them");
  if (arguments.processes > 1 && rank.world_size == 1) {
    if (has_parts(loaded.recipe))
      fail_usage("folds and several seeds run one after another on one rank; leave --processes out");
    choose_micro_batch(loaded.recipe,
                       arguments.processes);  // a wrong batch is told before any process starts
    const int code = launch_processes(arguments.processes, context.argv);
    context.json = false;  // rank 0 has printed the object
    return static_cast<ExitCode>(code);
  }
  for (const std::string& note : loaded.notes) context.log(note);
  const ExitCode code = has_parts(loaded.recipe) ? train_parts(context, arguments, loaded)
                                                 : train_rank(context, arguments, loaded);
  if (!loaded.recipe.report.shows() && rank_from_environment().rank == 0 &&
      context.result.value("finished", false))
    forget_answers(loaded.recipe.directory);
  return code;
}

}  // namespace

void add_train(const Command& program) {
  const Command command =
      program.command("train", "train a recipe: prepares what is missing, resumes what is there");
  auto arguments = std::make_shared<Arguments>();
  command.option("RECIPE", arguments->recipe, "a file or a built-in name").required();
  command.option("--set", arguments->overrides, "a.b=value, over the recipe's own").repeatable();
  command.flag("--fresh", arguments->fresh, "start over; the old run is kept as <directory>.1");
  command.flag("--strict", arguments->strict,
               "tuning: train only when the data report finds nothing to object");
  command.option("--processes", arguments->processes, "ranks on this machine").between(1, 1024);
  command.option(
      "--profile", arguments->profile,
      "a .json file of the seconds that data, forward, backward, optimizer, evaluation and checkpoints "
      "took; of rank 0");
  command
      .option("--stop-after", arguments->stop_after,
              "stop and save once so many steps are done; the schedule stays")
      .at_least_one();
  command.runs([=](Context& context) { return train_command(context, *arguments); });
}

}  // namespace lathe
