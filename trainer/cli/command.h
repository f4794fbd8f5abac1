#pragma once
// One file a subcommand. add_<verb>() declares its arguments and what it does (options.h). Human text goes to
// standard output unless --json is given, when standard output carries one JSON object and nothing else.
#include <string>
#include <vector>

#include "data/io/json.h"
#include "trainer/cli/options.h"

namespace lathe {

struct Context {
  bool json = false, quiet = false;
  std::vector<std::string> argv;
  Json result = Json::object();  // printed by --json
  void say(
      const std::string& line) const;  // a line for a person: standard output, or standard error under --json
  void log(const std::string& line) const;  // progress and warnings: standard error unless --quiet
};

void add_check(const Command& program);
void add_plan(const Command& program);
void add_prepare(const Command& program);
void add_preview(const Command& program);
void add_train(const Command& program);
void add_evaluate(const Command& program);
void add_generate(const Command& program);
void add_chat(const Command& program);
void add_sample(const Command& program);
void add_export(const Command& program);
void add_verify(const Command& program);
void add_inspect(const Command& program);
void add_tokenize(const Command& program);
void add_recipes(const Command& program);
void add_doctor(const Command& program);

}  // namespace lathe
