#include "trainer/cli/recipe_text.h"

#include <cctype>
#include <filesystem>
#include <set>
#include <string_view>

#include "data/io/json.h"

namespace lathe {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kValueColumn = 50, kCommandColumn = 44;

}  // namespace

void CommentedText::line(const std::string& value, const std::string& why) {
  std::string comment = why;
  for (char& c : comment) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  text_ += value;
  if (!value.empty())
    text_ += std::string(value.size() < kValueColumn ? kValueColumn - value.size() : 1, ' ');
  text_ += comment.empty() ? "#\n" : "# " + comment + "\n";
}

void CommentedText::command(const std::string& text, const std::string& does) {
  remark("  " + text + std::string(text.size() < kCommandColumn ? kCommandColumn - text.size() : 1, ' ') +
         does);
}

std::string recipe_scalar(const std::string& text) {
  static const std::set<std::string> kWords = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  std::string lower;
  bool plain = !text.empty() && std::string_view("-.0123456789").find(text[0]) == std::string_view::npos;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    lower += static_cast<char>(std::tolower(byte));
    plain = plain && byte < 0x80 &&
            (std::isalnum(byte) != 0 || std::string_view("_./-").find(c) != std::string_view::npos);
  }
  return plain && kWords.count(lower) == 0 ? text : Json(text).dump();
}

std::string input_path(const std::string& path, const std::string& output) {
  if (!fs::exists(path)) return path;  // a Hub id
  const fs::path whole = fs::absolute(path).lexically_normal();
  const fs::path near = whole.lexically_relative(fs::absolute(output).lexically_normal().parent_path());
  const bool below = !near.empty() && *near.begin() != "..";
  return below ? near.string() : whole.string();
}

std::string plain_name(const std::string& data) {
  fs::path path = fs::absolute(data).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::string name;
  for (const char c : path.stem().string()) {
    const auto byte = static_cast<unsigned char>(c);
    name += byte < 0x80 && std::isalnum(byte) != 0 ? c : '_';
  }
  return name.empty() || std::isalpha(static_cast<unsigned char>(name[0])) == 0 ? "tuned_" + name : name;
}

}  // namespace lathe
