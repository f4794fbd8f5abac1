#include "trainer/cli/options.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <type_traits>
#include <utility>

namespace lathe {

Option& Option::required() {
  option_->required();
  return *this;
}

// CLI11's own PositiveNumber writes its bound of 309 digits into the error.
Option& Option::at_least_one() { return between(1, 1'000'000'000'000'000); }

namespace {

// CLI11's ranges let NaN through.
std::string is_a_number(const std::string& text) {
  double value = 0;
  return CLI::detail::lexical_cast(text, value) && std::isnan(value) ? "Value " + text + " is not a number"
                                                                     : "";
}

// CLI11 lets -1 and what is too large wrap, and reads 010 as 8.
std::string is_64_bits(const std::string& text) {
  std::uint64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  const bool octal = text.size() > 1 && text.front() == '0';
  return error == std::errc() && end == last && !octal
             ? ""
             : "Value " + text + " is no whole number of 0 to 18446744073709551615";
}

}  // namespace

Option& Option::not_negative() {
  option_->check(CLI::Range(0.0, 1e9))->check(is_a_number, "");
  return *this;
}

Option& Option::share() {
  option_->check(CLI::Range(0.0, 1.0))->check(is_a_number, "");
  return *this;
}

Option& Option::between(std::int64_t least, std::int64_t most) {
  option_->check(CLI::Range(least, most));
  return *this;
}

Option& Option::one_of(const std::vector<std::string>& values) {
  option_->check(CLI::IsMember(values));
  return *this;
}

Option& Option::existing_file() {
  option_->check(CLI::ExistingFile);
  return *this;
}

Option& Option::byte_size() {
  option_->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  return *this;
}

Option& Option::repeatable() {
  option_->take_all()->expected(1)->allow_extra_args(false);  // what follows is an argument of its own
  return *this;
}

Option& Option::separated_by(char delimiter) {
  option_->delimiter(delimiter)->allow_extra_args(false);
  return *this;
}

namespace {

// The program's own flags, declared before its commands, may follow each: its --help lists them as well.
std::string flags_of_every_command(const CLI::App* app) {
  while (app->get_parent()) app = app->get_parent();
  std::string text = "Options of every command:\n";
  for (const CLI::Option* option : app->get_options()) {
    if (option == app->get_help_ptr() || option->check_name("--version")) continue;
    std::string name = "  " + option->get_name();
    name.resize(std::max<std::size_t>(name.size() + 1, 30), ' ');  // CLI11's column
    text += name + option->get_description() + "\n";
  }
  return text;
}

}  // namespace

Command Command::command(const std::string& name, const std::string& text) const {
  CLI::App* const added = app_->add_subcommand(name, text);
  added->footer(flags_of_every_command(app_));
  return {added, chosen_};
}

template <typename Value>
Option Command::option(const std::string& name, Value& value, const std::string& text) const {
  CLI::Option* const added = app_->add_option(name, value, text);
  if constexpr (std::is_same_v<Value, std::uint64_t>) added->check(is_64_bits, "");
  return Option(added);
}

// Another type is a line more.
template Option Command::option(const std::string&, int&, const std::string&) const;
template Option Command::option(const std::string&, std::int64_t&, const std::string&) const;
template Option Command::option(const std::string&, std::uint64_t&, const std::string&) const;
template Option Command::option(const std::string&, double&, const std::string&) const;
template Option Command::option(const std::string&, std::string&, const std::string&) const;
template Option Command::option(const std::string&, std::optional<std::int64_t>&, const std::string&) const;
template Option Command::option(const std::string&, std::optional<double>&, const std::string&) const;
template Option Command::option(const std::string&, std::optional<std::string>&, const std::string&) const;
template Option Command::option(const std::string&, std::vector<std::string>&, const std::string&) const;

void Command::flag(const std::string& name, bool& value, const std::string& text) const {
  app_->add_flag(name, value, text);
}

void Command::runs(Run run) const {
  app_->callback([app = app_, chosen = chosen_, run = std::move(run)] {
    if (app->get_subcommands().empty()) *chosen = run;  // a parent is called after its commands
  });
}

CommandLine::CommandLine(const std::string& name, const std::string& text, const std::string& version)
    : app_(std::make_unique<CLI::App>(text, name)) {
  app_->set_version_flag("--version", name + " " + version);
  app_->require_subcommand(1);  // commands inherit that it is one at most, and what follows
  app_->fallthrough();
}

CommandLine::~CommandLine() = default;

Command CommandLine::program() { return {app_.get(), &chosen_}; }

Run CommandLine::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help or --version
    app_->exit(asked);
    return {};
  } catch (const CLI::ParseError& error) {
    const std::string name = app_->get_name();
    fail_usage(error.what(), "\nrun '", name, " --help' or '", name, " <command> --help'");
  }
  return chosen_;
}

}  // namespace lathe
