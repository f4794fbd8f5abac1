// lathe: the program. Parses the command line, runs one subcommand, turns errors into one message and an exit
// code.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>

#include "trainer/allocator.h"
#include "trainer/cli/command.h"
#include "trainer/machine.h"

namespace {

int report(const lathe::Context& context, const std::string& text, lathe::ExitCode code) {
  std::cerr << "lathe: " << text << (text.ends_with('\n') ? "" : "\n");
  if (context.json) std::cout << lathe::Json{{"error", text}}.dump() << "\n";
  return static_cast<int>(code);
}

int run_command(int argc, char** argv) {
  lathe::Context context;
  context.argv.assign(argv, argv + argc);
  try {
    lathe::CommandLine line(
        "lathe", "Trains and fine-tunes transformers from YAML recipes and exports the weights.", "0.1.0");
    const lathe::Command program = line.program();
    program.flag("--json", context.json, "one JSON object on standard output, nothing else");
    program.flag("--quiet", context.quiet, "no progress");
    lathe::add_check(program);
    lathe::add_plan(program);
    lathe::add_prepare(program);
    lathe::add_preview(program);
    lathe::add_train(program);
    lathe::add_evaluate(program);
    lathe::add_generate(program);
    lathe::add_chat(program);
    lathe::add_sample(program);
    lathe::add_export(program);
    lathe::add_verify(program);
    lathe::add_inspect(program);
    lathe::add_tokenize(program);
    lathe::add_recipes(program);
    lathe::add_doctor(program);
    const lathe::Run run = line.parse(argc, argv);
    if (!run) return static_cast<int>(lathe::ExitCode::Done);
    const lathe::ExitCode code = run(context);
    if (context.json)
      std::cout << context.result.dump(2, ' ', false, lathe::Json::error_handler_t::replace) << "\n";
    return static_cast<int>(code);
  } catch (const lathe::Error& e) {
    return report(context, e.what(), e.code());
  } catch (const std::bad_alloc&) {
    return report(context,
                  "out of memory; a smaller train.micro_batch_size or activation_checkpointing needs less",
                  lathe::ExitCode::Failed);
  } catch (const std::filesystem::filesystem_error& e) {  // of a folder that is not ours, say
    return report(context, lathe::cat(e.path1().string(), ": ", e.code().message()), lathe::ExitCode::Failed);
  } catch (const std::exception& e) {
    return report(context, lathe::cat("internal error: ", e.what()), lathe::ExitCode::Failed);
  }
}

// LibTorch takes 0.07 s to tear its tables down, a third of what `lathe --version` takes, to no one's
// benefit. Leak checks wait for it.
[[noreturn]] void leave(int code) {
  errno = 0;
  if (!std::cout.flush()) {
    std::cerr << "lathe: standard output could not be written"
              << (errno ? std::string(": ") + std::strerror(errno) : "") << "\n";
    if (code == 0) code = static_cast<int>(lathe::ExitCode::Failed);
  }
  std::fflush(nullptr);
#if defined(__SANITIZE_ADDRESS__)
  std::exit(code);
#else
  std::_Exit(code);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  lathe::tune_allocator();
  lathe::install_allocator();
  leave(run_command(argc, argv));
}
