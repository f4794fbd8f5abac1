#pragma once
// One file a subcommand. add_<verb>() declares its arguments and sets `run` when it is the one called. Human
// text goes to standard output unless --json is given, when standard output carries one JSON object and
// nothing else.
#include <functional>
#include <string>
#include <vector>

#include "data/io/json.h"
#include "recipes/schema/error.h"

namespace CLI {
class App;
}

namespace lathe {

struct Context {
  bool json = false, quiet = false;
  std::vector<std::string> argv;
  Json result = Json::object();  // printed by --json
  void say(
      const std::string& line) const;  // a line for a person: standard output, or standard error under --json
  void log(const std::string& line) const;  // progress and warnings: standard error unless --quiet
};

using Run = std::function<ExitCode(Context&)>;

void add_check(CLI::App& app, Run& run);
void add_plan(CLI::App& app, Run& run);
void add_prepare(CLI::App& app, Run& run);
void add_preview(CLI::App& app, Run& run);
void add_train(CLI::App& app, Run& run);
void add_evaluate(CLI::App& app, Run& run);
void add_generate(CLI::App& app, Run& run);
void add_chat(CLI::App& app, Run& run);
void add_sample(CLI::App& app, Run& run);
void add_export(CLI::App& app, Run& run);
void add_verify(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_tokenize(CLI::App& app, Run& run);
void add_recipes(CLI::App& app, Run& run);
void add_doctor(CLI::App& app, Run& run);

}  // namespace lathe
