// lathe plan RECIPE: parameters, peak memory by part, tokens, FLOPs, time, cost; trains nothing.
#include <CLI/CLI.hpp>

#include "trainer/checks.h"
#include "trainer/cli/command.h"
#include "trainer/model_source.h"
#include "trainer/machine.h"
#include "trainer/plan/plan.h"
#include "trainer/report/metrics.h"
#include "trainer/session.h"

namespace lathe {

namespace {

struct Arguments {
  std::string recipe;
  std::vector<std::string> overrides;
  int processes = 1;
  double price_per_hour = 0, tokens_per_second = 0;
};

ExitCode plan_command(Context& context, const Arguments& arguments) {
  const LoadedRecipe loaded = checked_recipe(arguments.recipe, arguments.overrides);
  const Recipe& recipe = loaded.recipe;
  const PreparedData data = prepare_for(recipe, [](const std::string&, double) {});
  const ModelPlan model = plan_model(recipe, *data.tokenizer);
  const std::int64_t micro = choose_micro_batch(recipe, arguments.processes);
  const Plan plan = make_plan(model.spec, plan_settings(recipe, resolve_precision(recipe.train.precision), micro, arguments.processes));
  LoaderOptions options;
  options.sequence_length = recipe.data.sequence_length;
  const Loader loader(data.train, options);
  const RunLength length = run_length(recipe.train, loader.rows_per_epoch(), loader.tokens_per_epoch());
  const double tokens = static_cast<double>(length.rows) * static_cast<double>(loader.tokens_per_epoch()) /
                        static_cast<double>(loader.rows_per_epoch());
  context.say(cat("parameters: ", plan.parameters, "\nsteps: ", length.steps, " (", format_count(tokens), " tokens, ",
                  static_cast<double>(length.rows) / static_cast<double>(loader.rows_per_epoch()), " epochs)"));
  context.result = Json{{"parameters", plan.parameters}, {"steps", length.steps}, {"tokens", tokens},
                        {"micro_batch_size", micro},     {"peak_memory", plan.peak_bytes},
                        {"flops", plan.flops_per_token * tokens}, {"memory_limit", memory_limit()}};
  context.result["parts"] = Json::object();
  for (const PlanPart& part : plan.parts) {
    context.result["parts"][part.name] = part.bytes;
    context.say(cat("  ", part.name, ": ", format_bytes(static_cast<double>(part.bytes))));
  }
  context.say(cat("peak memory of a process: ", format_bytes(static_cast<double>(plan.peak_bytes)), " of ",
                  format_bytes(static_cast<double>(memory_limit()))));
  context.say(cat("compute: ", plan.flops_per_token * tokens, " FLOP"));
  if (arguments.tokens_per_second > 0) {
    const double seconds = tokens / arguments.tokens_per_second;
    context.result["seconds"] = seconds;
    context.say("time: " + format_duration(seconds));
    if (arguments.price_per_hour > 0) {
      context.result["cost"] = seconds / 3600 * arguments.price_per_hour;
      context.say(cat("cost: ", context.result["cost"].get<double>()));
    }
  } else {
    context.say("time: give --tokens-per-second as a short run (--stop-after 10) prints it");
  }
  return ExitCode::Done;
}

}  // namespace

void add_plan(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("plan", "parameters, peak memory by part, steps, FLOPs; trains nothing");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("RECIPE", arguments->recipe, "a file or a built-in name")->required();
  command->add_option("--set", arguments->overrides, "a.b=value, over the recipe's own")->take_all()->expected(1);
  command->add_option("--processes", arguments->processes, "ranks")->check(CLI::Range(1, 65536));
  command->add_option("--price-per-hour", arguments->price_per_hour, "of the machine")->check(CLI::NonNegativeNumber);
  command->add_option("--tokens-per-second", arguments->tokens_per_second, "measured on this machine")->check(CLI::NonNegativeNumber);
  command->callback([=, &run] { run = [=](Context& context) { return plan_command(context, *arguments); }; });
}

}  // namespace lathe
