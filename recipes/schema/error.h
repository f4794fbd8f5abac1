#pragma once
// The one exception type of the project and the text helpers around it. An Error is a user's mistake or a
// failing machine: its text says where, what was wanted, what was found, what to do. Impossible states are
// assertions.
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace lathe {

// Exit codes of the program: 0 done, 1 failed, 2 the recipe or the arguments are wrong, 130 interrupted after
// saving.
enum class ExitCode { Done = 0, Failed = 1, Usage = 2, Interrupted = 130 };

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text, ExitCode code = ExitCode::Failed)
      : std::runtime_error(text), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// cat("step ", 3, ": ", loss): the parts as one string, numbers in the "C" locale whatever the program runs
// in.
template <class... Parts>
std::string cat(Parts&&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << std::forward<Parts>(parts));
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(Parts&&... parts) {
  throw Error(cat(std::forward<Parts>(parts)...));
}

// fail() as a usage error (exit code 2): wrong recipe or arguments.
template <class... Parts>
[[noreturn]] void fail_usage(Parts&&... parts) {
  throw Error(cat(std::forward<Parts>(parts)...), ExitCode::Usage);
}

template <class... Parts>
void require(bool condition, Parts&&... parts) {
  if (!condition) fail(std::forward<Parts>(parts)...);
}

}  // namespace lathe
