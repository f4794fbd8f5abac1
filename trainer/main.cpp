// lathe: the program. Parses the command line, runs one subcommand, turns errors into one message and an exit
// code.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <iostream>

#include "trainer/allocator.h"
#include "trainer/cli/command.h"
#include "trainer/machine.h"

namespace {

int report(const lathe::Context& context, const std::string& text, lathe::ExitCode code) {
  std::cerr << "lathe: " << text << (text.ends_with('\n') ? "" : "\n");
  if (context.json) std::cout << lathe::Json{{"error", text}}.dump() << "\n";
  return static_cast<int>(code);
}

}  // namespace

int main(int argc, char** argv) {
  lathe::tune_allocator();
  lathe::install_allocator();
  lathe::Context context;
  context.argv.assign(argv, argv + argc);
  lathe::Run run;
  CLI::App app("Trains and fine-tunes transformers from YAML recipes and exports the weights.", "lathe");
  app.set_version_flag("--version", "lathe 0.1.0");
  app.require_subcommand(1);
  app.fallthrough();
  app.add_flag("--json", context.json, "one JSON object on standard output, nothing else");
  app.add_flag("--quiet", context.quiet, "no progress");
  lathe::add_check(app, run);
  lathe::add_plan(app, run);
  lathe::add_prepare(app, run);
  lathe::add_preview(app, run);
  lathe::add_train(app, run);
  lathe::add_evaluate(app, run);
  lathe::add_generate(app, run);
  lathe::add_chat(app, run);
  lathe::add_sample(app, run);
  lathe::add_export(app, run);
  lathe::add_verify(app, run);
  lathe::add_inspect(app, run);
  lathe::add_tokenize(app, run);
  lathe::add_recipes(app, run);
  lathe::add_doctor(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return report(context, lathe::cat(e.what(), "\nrun 'lathe --help' or 'lathe <command> --help'"),
                  lathe::ExitCode::Usage);
  }
  try {
    const lathe::ExitCode code = run(context);
    if (context.json)
      std::cout << context.result.dump(2, ' ', false, lathe::Json::error_handler_t::replace) << "\n";
    std::cout.flush();
    return static_cast<int>(code);
  } catch (const lathe::Error& e) {
    return report(context, e.what(), e.code());
  } catch (const std::bad_alloc&) {
    return report(context,
                  "out of memory; a smaller train.micro_batch_size or activation_checkpointing needs less",
                  lathe::ExitCode::Failed);
  } catch (const std::exception& e) {
    return report(context, lathe::cat("internal error: ", e.what()), lathe::ExitCode::Failed);
  }
}
