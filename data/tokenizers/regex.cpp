#include "data/tokenizers/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "data/tokenizers/unicode_class.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// White_Space; PCRE's own \s adds U+180E, which stopped being a space in Unicode 6.3.
constexpr std::string_view kSpaces =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWord = R"(\p{L}\p{M}\p{Nd}\p{Pc})";
constexpr std::uint32_t kMatchLimit = 50'000'000;

std::string pcre_message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

[[noreturn]] void refuse(const std::string& where, std::string_view pattern, const std::string& what) {
  fail(where, ": the regular expression '", pattern, "' uses ", what,
       ", which is not supported here because it could split text otherwise than the model was trained with");
}

std::string translate_escape(char c, bool in_class, std::string_view pattern, const std::string& where) {
  const auto as_class = [&](std::string_view members) {
    return in_class ? std::string(members) : "[" + std::string(members) + "]";
  };
  switch (c) {
    case 's':
      return as_class(kSpaces);
    case 'w':
      return as_class(kWord);
    case 'd':
      return "\\p{Nd}";
    case 'D':
      return "\\P{Nd}";
    case 'S':
    case 'W':
      if (in_class) refuse(where, pattern, cat("\\", c, " inside brackets"));
      return "[^" + std::string(c == 'S' ? kSpaces : kWord) + "]";
    case 'p':
    case 'P':
    case 'n':
    case 'r':
    case 't':
    case 'f':
    case 'x':
      return std::string("\\") + c;
    default:
      break;
  }
  const bool letter_or_digit = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  if (letter_or_digit) refuse(where, pattern, cat("\\", c));
  return std::string("\\") + c;
}

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      if (++i == pattern.size()) refuse(where, pattern, "a lone backslash at its end");
      out += translate_escape(pattern[i], in_class, pattern, where);
      const bool braced = (pattern[i] == 'p' || pattern[i] == 'P' || pattern[i] == 'x');
      if (braced && i + 1 < pattern.size() && pattern[i + 1] == '{') {
        const std::size_t close = pattern.find('}', i);
        if (close == pattern.npos) refuse(where, pattern, "an open brace");
        out += pattern.substr(i + 1, close - i);
        i = close;
      }
      continue;
    }
    if (in_class) {
      if (c == '[') refuse(where, pattern, "brackets inside brackets");
      if (c == '&' && i + 1 < pattern.size() && pattern[i + 1] == '&')
        refuse(where, pattern, "&& inside brackets");
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      continue;
    } else if (c == '^' || c == '$') {
      refuse(where, pattern, cat("the anchor '", c, "'"));
    } else if (c == '}' && i + 1 < pattern.size() && pattern[i + 1] == '+') {
      refuse(where, pattern, "'+' after braces");
    } else if (c == '(' && i + 2 < pattern.size() && pattern[i + 1] == '?') {
      const char kind = pattern[i + 2];
      const bool ignore_case =
          kind == 'i' && i + 3 < pattern.size() && (pattern[i + 3] == ':' || pattern[i + 3] == ')');
      if (kind != ':' && kind != '!' && kind != '=' && kind != '<' && kind != '>' && !ignore_case) {
        refuse(where, pattern, cat("the group '(?", kind, "'"));
      }
    }
    out += c;
  }
  return out;
}

std::string escape_regex(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        byte >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

struct Regex::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

Regex::Regex(const std::string& pattern, const std::string& where) : pattern_(pattern), where_(where) {
  auto code = std::make_shared<Code>();
  const std::string translated = translate_regex(pattern, where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_compile_context* options = pcre2_compile_context_create(nullptr);
  pcre2_set_newline(options, PCRE2_NEWLINE_LF);
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, options);
  pcre2_compile_context_free(options);
  require(code->code != nullptr, where, ": the regular expression '", pattern,
          "' does not compile: ", pcre_message(error));
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);
  code_ = std::move(code);
}

bool Regex::find(std::string_view text, std::size_t at, std::size_t& begin, std::size_t& end) const {
  if (text.empty()) return false;
  // One stack and one result a thread: a Regex itself is shared and never written.
  struct Scratch {
    pcre2_match_context* context = pcre2_match_context_create(nullptr);
    pcre2_jit_stack* stack = pcre2_jit_stack_create(64 << 10, 16 << 20, nullptr);
    pcre2_match_data* data = pcre2_match_data_create(64, nullptr);
    Scratch() {
      pcre2_set_match_limit(context, kMatchLimit);
      pcre2_jit_stack_assign(context, nullptr, stack);
    }
    ~Scratch() {
      pcre2_match_data_free(data);
      pcre2_jit_stack_free(stack);
      pcre2_match_context_free(context);
    }
  };
  thread_local Scratch scratch;
  // The text is checked once, before its first match; checking it before every match would be quadratic.
  std::uint32_t options = at == 0 ? 0 : PCRE2_NO_UTF_CHECK;
  while (at <= text.size()) {
    const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                  options, scratch.data, scratch.context);
    options = PCRE2_NO_UTF_CHECK;
    if (found == PCRE2_ERROR_NOMATCH) return false;
    require(found >= 0, where_, ": the regular expression '", pattern_, "' gave up on a text of ",
            text.size(), " bytes: ", pcre_message(found));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(scratch.data);
    begin = range[0];
    end = range[1];
    if (end > begin) return true;
    if (end >= text.size()) return false;
    at = end + scan_utf8(text, end).length;
  }
  return false;
}

}  // namespace lathe
