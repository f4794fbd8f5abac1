#pragma once
// How commands declare their options and arguments. Only options.cpp knows CLI11, whose templates cost 20 s
// in every file that sees them.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "recipes/schema/error.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace lathe {

struct Context;
using Run = std::function<ExitCode(Context&)>;

// What a value must be; --help and the error of a wrong one tell it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option& required();
  Option& at_least_one();
  Option& not_negative();
  Option& share();  // 0 to 1
  Option& between(std::int64_t least, std::int64_t most);
  Option& one_of(const std::vector<std::string>& values);
  Option& existing_file();
  Option& byte_size();                   // 80GB, 512MiB ...
  Option& repeatable();                  // --stop A --stop B
  Option& separated_by(char delimiter);  // --metrics a,b

 private:
  CLI::Option* option_;
};

// A command of the program, or the program itself. Values hold the default and must live until the command
// has run: what `run` is given captures them.
class Command {
 public:
  Command(CLI::App* app, Run* chosen) : app_(app), chosen_(chosen) {}
  Command command(const std::string& name, const std::string& text) const;
  // "--name", or "NAME" by its place, of any type that is listed in options.cpp.
  template <typename Value>
  Option option(const std::string& name, Value& value, const std::string& text = "") const;
  void flag(const std::string& name, bool& value, const std::string& text) const;
  // What this command does, when none of its own commands is given.
  void runs(Run run) const;

 private:
  CLI::App* app_;
  Run* chosen_;
};

class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& text, const std::string& version);
  ~CommandLine();
  Command program();
  // What the command that was given does; empty when --help or --version was, whose text is printed then.
  // Usage errors.
  Run parse(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
  Run chosen_;
};

}  // namespace lathe
