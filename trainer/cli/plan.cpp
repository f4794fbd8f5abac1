// lathe plan RECIPE: parameters, peak memory by part, tokens, FLOPs, time, cost; trains nothing.
#include <cmath>

#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/cli/pictures.h"
#include "trainer/cli/plan_memory.h"
#include "trainer/machine.h"
#include "trainer/model_source.h"
#include "trainer/plan/plan.h"
#include "trainer/plan/speed.h"
#include "trainer/report/metrics.h"
#include "trainer/session.h"
#include "trainer/text/text_task.h"
#include "trainer/text/tuning_report.h"

namespace lathe {

namespace {

// Steps and tokens as open_session() counts them.
struct Work {
  RunLength length;
  double tokens = 0, epochs = 0;
};

Work work_of(const Recipe& recipe, const Loader& loader) {
  TrainSection train = recipe.train;
  if (recipe.task == "sft")
    choose_tuning_length(train, loader.rows_per_epoch(), !recipe.adapter.kind.empty());
  Work work;
  work.length = run_length(train, loader.rows_per_epoch(), loader.tokens_per_epoch());
  work.epochs = static_cast<double>(work.length.rows) / static_cast<double>(loader.rows_per_epoch());
  work.tokens = std::round(work.epochs * static_cast<double>(loader.tokens_per_epoch()));
  return work;
}

void say_time(Context& context, const PlanArguments& arguments, double tokens, double rate, double estimate) {
  if (rate <= 0) {
    context.result["estimated_seconds"] = tokens / estimate;
    context.say(cat("time: very roughly ", format_duration(tokens / estimate),
                    " (matrix products timed here; evaluation and checkpoints not counted; --measure "
                    "trains for a few seconds to tell, or give --tokens-per-second)"));
    return;
  }
  const double seconds = tokens / rate;
  context.result["tokens_per_second"] = rate;
  context.result["seconds"] = seconds;
  context.say(cat("time: about ", format_duration(seconds), " at ", format_count(rate),
                  " tokens/s, evaluation and checkpoints not counted"));
  if (arguments.price_per_hour <= 0) return;
  context.result["cost"] = seconds / 3600 * arguments.price_per_hour;
  context.say(cat("cost: about ", context.result["cost"].get<double>()));
}

ExitCode plan_command(Context& context, const PlanArguments& arguments) {
  const LoadedRecipe loaded = checked_recipe(arguments.recipe, arguments.overrides);
  const Recipe& recipe = loaded.recipe;
  if (recipe.task == "diffusion") return plan_pictures(context, recipe, arguments);
  const PreparedData data = prepare_for(recipe, [](const std::string&, double) {});
  const ModelPlan model = plan_model(recipe, *data.tokenizer);
  const std::int64_t micro = choose_micro_batch(recipe, arguments.processes);
  Loader loader(data.train, loader_options(recipe));
  const Work work = work_of(recipe, loader);
  PlanSettings settings =
      plan_settings(recipe, resolve_precision(recipe.train.precision), micro, arguments.processes);
  if (recipe.task == "sft") settings.batch_tokens = tuning_batches(loader, micro, work.length.rows);
  settings.asked = asked_lengths(data, model.spec, recipe);
  const Plan plan = make_plan(model.spec, settings);
  const std::string trained =
      plan.trained == plan.parameters ? "" : cat(", ", plan.trained, " of them trained");
  context.say(cat("parameters: ", plan.parameters, trained, "\nsteps: ", work.length.steps, " (",
                  format_count(work.tokens), " tokens, ", work.epochs, " epochs)"));
  for (const std::string& line : source_lines(recipe, loader, work.length.rows)) context.say(line);
  context.result = Json{{"parameters", plan.parameters}, {"trained", plan.trained},
                        {"steps", work.length.steps},    {"tokens", static_cast<std::int64_t>(work.tokens)},
                        {"micro_batch_size", micro},     {"flops", plan.flops_per_token * work.tokens}};
  const std::int64_t limit = planned_limit(arguments);
  say_memory(context, plan, limit, advice_to_fit(model.spec, settings, limit));
  context.say(cat("compute: ", plan.flops_per_token * work.tokens, " FLOP"));
  double rate = arguments.tokens_per_second;
  if (rate <= 0 && arguments.measure && context.result["fits"].get<bool>())
    rate = arguments.processes * measure_tokens_per_second(model.spec, settings, recipe);
  if (rate <= 0) set_compute_threads(settings.threads);
  const double estimate =
      rate > 0 ? 0 : arguments.processes * estimate_tokens_per_second(model.spec, settings);
  say_time(context, arguments, work.tokens, rate, estimate);
  return ExitCode::Done;
}

}  // namespace

void add_plan(const Command& program) {
  const Command command =
      program.command("plan", "parameters, peak memory by part, steps, FLOPs, time; trains nothing");
  auto arguments = std::make_shared<PlanArguments>();
  command.option("RECIPE", arguments->recipe, "a file or a built-in name").required();
  command.option("--set", arguments->overrides, "a.b=value, over the recipe's own").repeatable();
  command.option("--processes", arguments->processes, "ranks").between(1, 65536);
  command
      .option("--memory-per-process", arguments->memory_per_process,
              "as in 80GB; otherwise this machine's, shared by the processes")
      .byte_size();
  command.option("--price-per-hour", arguments->price_per_hour, "of the machine").not_negative();
  command.flag("--measure", arguments->measure, "time two seconds of training on this machine");
  command
      .option("--tokens-per-second", arguments->tokens_per_second, "known from a run; goes before --measure")
      .not_negative();
  command.runs([=](Context& context) { return plan_command(context, *arguments); });
}

}  // namespace lathe
