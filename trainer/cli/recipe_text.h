#pragma once
// The text of a recipe that is written for somebody: a value and, beside it, why.
#include <string>

namespace lathe {

class CommentedText {
 public:
  // "value    # why"; what file names bring into a comment does not end it.
  void line(const std::string& value, const std::string& why);
  void remark(const std::string& text) { line("", text); }
  void command(const std::string& text, const std::string& does);
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// A YAML scalar: plain where that is safe, else in double quotes.
std::string recipe_scalar(const std::string& text);
// Inputs of a recipe at `output` are relative to its own folder; what lies elsewhere is named in full.
std::string input_path(const std::string& path, const std::string& output);
// A run's name made of a file's or folder's: "my pictures/" -> "my_pictures".
std::string plain_name(const std::string& data);

}  // namespace lathe
