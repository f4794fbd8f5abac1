#pragma once
// The text of a YAML file before it is parsed: what yaml-cpp would read silently or report badly (bytes that
// are no UTF-8, control characters, tabs as indentation, size) is found here, and byte columns become
// character columns.
#include <optional>
#include <string>
#include <vector>

#include "recipes/schema/raw.h"

namespace lathe {

class YamlText {
 public:
  YamlText(const std::string& raw, std::string file);

  // Without a byte-order mark, with plain line feeds.
  const std::string& text() const { return text_; }

  // The first thing that makes the text unfit for parsing.
  std::optional<RecipeProblem> flaw() const;

  // From yaml-cpp's 0-based line and byte column; -1 (unknown) is the start of the file.
  Place place(int line, int byte_column) const;

  // False when a quoted scalar that starts there never ends (yaml-cpp 0.7 takes the rest of the file for it).
  bool quote_closes(int line, int byte_column) const;

 private:
  std::optional<RecipeProblem> bad_byte() const;
  std::optional<RecipeProblem> tab_indent() const;
  Place place_of_byte(std::size_t byte) const;

  std::string text_, file_;
  std::vector<std::size_t> line_starts_;
};

// Length of the UTF-8 character that starts at text[at]; 0 when the bytes there are none (overlong forms,
// surrogates).
int utf8_length_at(const std::string& text, std::size_t at);

}  // namespace lathe
