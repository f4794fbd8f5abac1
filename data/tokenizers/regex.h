#pragma once
// Regular expressions of tokenizer files: PCRE2 with Unicode, compiled just in time, with a limit on the work
// of one match. tokenizer.json means Oniguruma's syntax; what would mean something else here is an Error by
// name.
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace lathe {

class Regex {
 public:
  // `where` names the file in errors.
  Regex(const std::string& pattern, const std::string& where);
  // Calls sink(begin, end) for each match from left to right; empty matches are passed over.
  template <class Sink>
  void each(std::string_view text, Sink&& sink) const {
    std::size_t begin = 0, end = 0;
    for (std::size_t at = 0; find(text, at, begin, end); at = end) sink(begin, end);
  }

 private:
  bool find(std::string_view text, std::size_t at, std::size_t& begin, std::size_t& end) const;
  struct Code;
  std::shared_ptr<const Code> code_;
  std::string pattern_, where_;
};

// The pattern with \s, \S, \w, \d spelt out as Unicode properties; Error for constructs of another meaning.
std::string translate_regex(std::string_view pattern, const std::string& where);
std::string escape_regex(std::string_view literal);

}  // namespace lathe
