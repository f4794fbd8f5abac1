#include "data/metrics/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/uchar.h>

#include "data/io/utf8.h"
#include "recipes/schema/error.h"

namespace lathe {

std::u32string characters(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  std::u32string out;
  out.reserve(valid.size());
  for (std::size_t at = 0; at < valid.size();) {
    const CodePoint c = decode_utf8(valid, at);
    out += c.value;
    at += c.length;
  }
  return out;
}

std::string to_utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

bool is_python_word(char32_t c) {
  if (c < 0x80) return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_L_MASK | U_GC_N_MASK)) != 0;
}

std::u32string lower_case(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  std::string lower;
  icu::StringByteSink<std::string> sink(&lower);
  UErrorCode status = U_ZERO_ERROR;
  icu::CaseMap::utf8ToLower("", 0, {valid.data(), static_cast<std::int32_t>(valid.size())}, sink, nullptr,
                            status);
  require(U_SUCCESS(status), "Unicode tables: lower case: ", u_errorName(status));
  return characters(lower);
}

std::vector<std::u32string> split_words(std::u32string_view text) {
  std::vector<std::u32string> words;
  std::u32string word;
  for (const char32_t c : text) {
    if (!is_python_space(c)) {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

}  // namespace lathe
