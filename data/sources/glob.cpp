#include "data/sources/glob.h"

#include <algorithm>
#include <span>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kMostAlternatives = 1024;

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  return parts;
}

std::size_t character_length(std::string_view text, std::size_t at) {
  std::size_t length = 1;
  while (at + length < text.size() && (static_cast<unsigned char>(text[at + length]) & 0xC0) == 0x80)
    ++length;
  return length;
}

// The bracket expression at pattern[at]: whether it accepts `c`, and where it ends.
bool bracket_accepts(std::string_view pattern, std::size_t& at, std::string_view c) {
  std::size_t i = at + 1;
  const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (negated) ++i;
  bool found = false;
  for (bool first = true; first || pattern[i] != ']'; first = false) {
    const std::string_view low = pattern.substr(i, character_length(pattern, i));
    i += low.size();
    std::string_view high = low;
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      high = pattern.substr(i + 1, character_length(pattern, i + 1));
      i += 1 + high.size();
    }
    found |= low <= c && c <= high;  // UTF-8's byte order is that of the code points
  }
  at = i + 1;
  return found != negated;
}

bool name_matches(std::string_view pattern, std::string_view name) {
  if (!name.empty() && name[0] == '.' && (pattern.empty() || pattern[0] != '.')) return false;
  std::size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      resume = n;
      continue;
    }
    const std::size_t length = character_length(name, n);
    bool accepted = false;
    if (p < pattern.size() && pattern[p] == '?') {
      accepted = true;
      ++p;
    } else if (p < pattern.size() && pattern[p] == '[') {
      accepted = bracket_accepts(pattern, p, name.substr(n, length));
    } else if (pattern.substr(std::min(p, pattern.size()), length) == name.substr(n, length)) {
      accepted = true;
      p += length;
    }
    if (accepted) {
      n += length;
    } else if (star != std::string_view::npos) {
      p = star;
      n = resume += character_length(name, resume);
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// One row of a table over the names: O(pattern * path), whatever the number of '**'.
bool parts_match(std::span<const std::string> pattern, std::span<const std::string> path) {
  std::vector<char> reached(path.size() + 1, 0);  // reached[i]: the pattern so far matches the first i names
  reached[0] = 1;
  for (const auto& part : pattern) {
    std::vector<char> next(path.size() + 1, 0);
    for (std::size_t i = 0; i <= path.size(); ++i) {
      if (part == "**") {
        next[i] = reached[i] || (i > 0 && next[i - 1] && path[i - 1][0] != '.');
      } else if (i > 0) {
        next[i] = reached[i - 1] && name_matches(part, path[i - 1]);
      }
    }
    reached = std::move(next);
  }
  return reached[path.size()] != 0;
}

void check_brackets(const std::string& pattern) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '[') continue;
    const auto end = pattern.find(']', i + (pattern.compare(i + 1, 1, "!") == 0 ? 3 : 2));
    if (end == std::string::npos) fail_usage("glob '", pattern, "': '[' is not closed");
    i = end;
  }
}

// Expands the first brace pair and, through recursion, all others.
void expand(const std::string& pattern, std::vector<std::string>& out) {
  const auto open = pattern.find('{');
  if (open == std::string::npos) {
    require(out.size() < kMostAlternatives, "glob: more than ", kMostAlternatives, " alternatives in braces");
    out.push_back(pattern);
    return;
  }
  std::vector<std::string> choices(1);
  int depth = 1;
  std::size_t i = open + 1;
  for (; i < pattern.size(); ++i) {
    const char c = pattern[i];
    depth += (c == '{') - (c == '}');
    if (depth == 0) break;
    if (c == ',' && depth == 1)
      choices.emplace_back();
    else
      choices.back() += c;
  }
  if (depth != 0) fail_usage("glob '", pattern, "': '{' is not closed");
  for (const auto& choice : choices) expand(pattern.substr(0, open) + choice + pattern.substr(i + 1), out);
}

}  // namespace

Glob::Glob(const std::string& pattern) {
  std::vector<std::string> expanded;
  expand(pattern, expanded);
  for (const auto& p : expanded) {
    check_brackets(p);
    alternatives_.push_back(split(p));
    has_folders_ |= p.find('/') != std::string::npos;
    for (const auto& part : alternatives_.back()) names_hidden_ |= part[0] == '.';
  }
}

bool Glob::matches(std::string_view path) const {
  const auto names = split(path);
  for (const auto& pattern : alternatives_) {
    if (parts_match(pattern, names)) return true;
  }
  return false;
}

bool Glob::matches_name(std::string_view name) const {
  for (const auto& pattern : alternatives_) {
    if (!pattern.empty() && name_matches(pattern.back(), name)) return true;
  }
  return false;
}

}  // namespace lathe
