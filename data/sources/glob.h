#pragma once
// Path patterns, the same in every locale: '*' and '?' within a name (a character is a code point), [a-z] and
// [!a-z], {a,b} alternatives, '**' for any number of folders. As in a shell, wildcards do not match names
// that begin with a dot: the pattern must write the dot.
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

class Glob {
 public:
  explicit Glob(const std::string& pattern);         // Error when braces or brackets do not close
  bool matches(std::string_view path) const;         // relative, '/' between names
  bool matches_name(std::string_view name) const;    // one name against the pattern's last part
  bool has_folders() const { return has_folders_; }  // a '/' is in the pattern
  bool names_hidden() const { return names_hidden_; }

 private:
  std::vector<std::vector<std::string>> alternatives_;  // braces expanded, split at '/'
  bool has_folders_ = false, names_hidden_ = false;
};

}  // namespace lathe
