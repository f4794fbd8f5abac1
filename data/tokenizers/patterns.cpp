#include "data/tokenizers/patterns.h"

#include "data/tokenizers/unicode_class.h"

namespace lathe {
namespace {

// GPT-2's pattern is found in two spellings with the same matches.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt2Grouped =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Seen {
  CharClass kind;
  char32_t value;
  std::size_t length;
};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), classes_(char_classes()) {}

  bool ended(std::size_t at) const { return at >= text_.size(); }
  Seen look(std::size_t at) const {
    const Scanned c = scan_utf8(text_, at);
    return {classes_[c.value], c.value, c.length};
  }
  char byte(std::size_t at) const { return ended(at) ? '\0' : text_[at]; }
  std::size_t run(std::size_t at, CharClass kind) const {
    while (!ended(at)) {
      const Seen c = look(at);
      if (c.kind != kind) break;
      at += c.length;
    }
    return at;
  }
  std::size_t newlines(std::size_t at) const {
    while (byte(at) == '\r' || byte(at) == '\n') ++at;
    return at;
  }
  // \s+(?!\S)|\s+ : the whole run at the end of the text; else all of it but the last character; else that
  // one.
  std::size_t spaces(std::size_t at) const {
    std::size_t last = at, end = at;
    while (!ended(end)) {
      const Seen c = look(end);
      if (c.kind != CharClass::Space) break;
      last = end;
      end += c.length;
    }
    return ended(end) || last == at ? end : last;
  }
  // \s*[\r\n]+ : up to the last newline of the run of white space; `at` when it has none.
  std::size_t through_newline(std::size_t at) const {
    std::size_t found = at;
    while (!ended(at)) {
      const Seen c = look(at);
      if (c.kind != CharClass::Space) break;
      at += c.length;
      if (c.value == '\r' || c.value == '\n') found = at;
    }
    return found;
  }

 private:
  std::string_view text_;
  const CharClass* classes_;
};

std::size_t contraction(const Scanner& scan, std::size_t at) {
  const char a = scan.byte(at + 1), b = scan.byte(at + 2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return at + 3;
  return at;
}

// Without regard to case, which in Unicode lets the long s U+017F (C5 BF) pass for an s.
std::size_t contraction_any_case(const Scanner& scan, std::size_t at) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const char a = lower(scan.byte(at + 1)), b = lower(scan.byte(at + 2));
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return at + 3;
  if (a == '\xC5' && b == '\xBF') return at + 3;
  return at;
}

std::size_t match_gpt2(const Scanner& scan, std::size_t at) {
  if (scan.byte(at) == '\'') {
    const std::size_t end = contraction(scan, at);
    if (end != at) return end;
  }
  std::size_t from = at;
  Seen c = scan.look(at);
  if (c.value == ' ' && !scan.ended(at + 1)) {
    const Seen next = scan.look(at + 1);
    if (next.kind != CharClass::Space) {
      from = at + 1;
      c = next;
    }
  }
  if (c.kind == CharClass::Space) return scan.spaces(at);
  return scan.run(from + c.length, c.kind);
}

std::size_t match_llama3(const Scanner& scan, std::size_t at, int digits) {
  if (scan.byte(at) == '\'') {
    const std::size_t end = contraction_any_case(scan, at);
    if (end != at) return end;
  }
  const Seen c = scan.look(at);
  std::size_t end = at + c.length;
  if (c.kind == CharClass::Letter) return scan.run(end, CharClass::Letter);
  if (c.kind == CharClass::Number) {
    for (int i = 1; i < digits && !scan.ended(end); ++i) {
      const Seen next = scan.look(end);
      if (next.kind != CharClass::Number) break;
      end += next.length;
    }
    return end;
  }
  const bool has_next = !scan.ended(end);
  const Seen next = has_next ? scan.look(end) : Seen{CharClass::Space, 0, 0};
  if (c.value != '\r' && c.value != '\n' && next.kind == CharClass::Letter)
    return scan.run(end, CharClass::Letter);
  if (c.kind == CharClass::Other) return scan.newlines(scan.run(end, CharClass::Other));
  if (c.value == ' ' && next.kind == CharClass::Other) return scan.newlines(scan.run(end, CharClass::Other));
  const std::size_t newline = scan.through_newline(at);
  return newline != at ? newline : scan.spaces(at);
}

}  // namespace

std::string_view pattern_text(KnownPattern pattern) {
  switch (pattern) {
    case KnownPattern::Gpt2:
      return kGpt2;
    case KnownPattern::Llama3:
      return kLlama3;
    case KnownPattern::Qwen2:
      return kQwen2;
  }
  return {};
}

std::optional<KnownPattern> known_pattern(std::string_view regex) {
  if (regex == kGpt2 || regex == kGpt2Grouped) return KnownPattern::Gpt2;
  if (regex == kLlama3) return KnownPattern::Llama3;
  if (regex == kQwen2) return KnownPattern::Qwen2;
  return std::nullopt;
}

std::size_t match_end(KnownPattern pattern, std::string_view text, std::size_t at) {
  const Scanner scan(text);
  switch (pattern) {
    case KnownPattern::Gpt2:
      return match_gpt2(scan, at);
    case KnownPattern::Llama3:
      return match_llama3(scan, at, 3);
    case KnownPattern::Qwen2:
      return match_llama3(scan, at, 1);
  }
  return text.size();
}

}  // namespace lathe
