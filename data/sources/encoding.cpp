#include "data/sources/encoding.h"

#include <unicode/ucnv.h>
#include <unicode/ucsdet.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "data/io/utf8.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF", kLittleMark = "\xFF\xFE", kBigMark = "\xFE\xFF";

using Converter = std::unique_ptr<UConverter, decltype(&ucnv_close)>;

std::string place_of(std::string_view text, std::size_t at) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  const std::size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;  // npos + 1 is 0
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned char>(text[at]));
  return cat(line, ": byte ", at - begin + 1, " of the line (", byte, ")");
}

// The text in UTF-8, or nothing when a byte is not of the charset.
std::optional<std::string> convert(std::string_view bytes, const char* charset, const std::string& path) {
  UErrorCode status = U_ZERO_ERROR;
  const Converter converter(ucnv_open(charset, &status), ucnv_close);
  if (U_FAILURE(status)) {
    fail_usage(path, ": data.encoding: wanted a charset (utf-8, cp1252, utf-16 ...) or replace, found '",
               charset, "'");
  }
  ucnv_setToUCallBack(converter.get(), UCNV_TO_U_CALLBACK_STOP, nullptr, nullptr, nullptr, &status);
  require(bytes.size() < (std::size_t{1} << 30), path,
          ": more than 1 GiB of text to convert; split the file");
  const icu::UnicodeString wide(bytes.data(), static_cast<std::int32_t>(bytes.size()), converter.get(),
                                status);
  if (U_FAILURE(status)) return std::nullopt;
  std::string text;
  wide.toUTF8String(text);
  return text;
}

bool has_c1_control(std::string_view text) {  // U+0080..U+009F: the bytes that CP1252 leaves undefined
  for (std::size_t at = 0; (at = text.find('\xC2', at)) != text.npos; ++at) {
    if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xA0) return true;
  }
  return false;
}

// Mostly high bytes among the letters: no language that is written in CP1252 comes near.
bool is_other_alphabet(std::string_view bytes) {
  std::size_t high = 0, ascii = 0;
  for (const char c : bytes) {
    high += (c & 0x80) != 0;
    ascii += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  }
  return high >= 16 && high > ascii;
}

// A file of another alphabet: reading it as CP1252 would give garbage without an error. The detector's name
// for it; empty when CP1252 it may be. Its word alone counts only when it is sure, for it errs on short
// texts.
std::string other_charset(std::string_view bytes) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UCharsetDetector, decltype(&ucsdet_close)> detector(ucsdet_open(&status),
                                                                            ucsdet_close);
  const auto size = static_cast<std::int32_t>(std::min<std::size_t>(bytes.size(), 1 << 20));
  ucsdet_setText(detector.get(), bytes.data(), size, &status);
  const UCharsetMatch* match = ucsdet_detect(detector.get(), &status);
  if (U_FAILURE(status) || !match) return {};
  if (ucsdet_getConfidence(match, &status) < 50 && !is_other_alphabet(bytes)) return {};
  const std::string name = ucsdet_getName(match, &status);
  for (const std::string_view latin : {"ISO-8859-1", "ISO-8859-2", "ISO-8859-9", "windows-1252",
                                       "windows-1250", "windows-1254", "UTF-8", "IBM420", "IBM424"}) {
    if (name.substr(0, latin.size()) == latin) return {};
  }
  return name;
}

// The byte order of text without a mark whose characters are mostly below U+0100; empty for anything else.
std::string_view unmarked_utf16(std::string_view bytes) {
  if (bytes.size() < 4 || bytes.size() % 2 != 0) return {};
  const std::size_t pairs = std::min<std::size_t>(bytes.size() / 2, 2048);
  std::size_t even = 0, odd = 0;
  for (std::size_t i = 0; i < pairs; ++i) {
    even += bytes[2 * i] == 0;
    odd += bytes[2 * i + 1] == 0;
  }
  if (odd * 10 > pairs * 7 && even * 20 < pairs) return "UTF-16LE";
  if (even * 10 > pairs * 7 && odd * 20 < pairs) return "UTF-16BE";
  return {};
}

// Invalid UTF-8 that still holds more good sequences than bad ones is damaged UTF-8, not another charset.
bool is_damaged_utf8(std::string_view bytes) {
  std::size_t bad = 0, good = 0;
  const std::string repaired = replace_invalid_utf8(bytes, &bad);
  for (const char c : repaired) good += static_cast<unsigned char>(c) >= 0xC2;
  return good > 2 * bad;  // each replacement counts in both
}

// Up to three words that show the user how the bytes were read.
std::string sample_words(std::string_view text) {
  std::string words;
  std::size_t found = 0;
  for (std::size_t at = 0; at < text.size() && found < 3;) {
    const auto begin = text.find_first_not_of(" \t\r\n,;.\"'", at);
    if (begin == text.npos) break;
    at = std::min(text.find_first_of(" \t\r\n,;.\"'", begin), text.size());
    const std::string_view word = text.substr(begin, at - begin);
    const bool ascii = std::all_of(word.begin(), word.end(), [](char c) { return (c & 0x80) == 0; });
    if (ascii || word.size() > 40) continue;
    words += (found++ ? ", " : "") + std::string(word);
  }
  return words;
}

DecodedText as_charset(std::string_view bytes, const std::string& path, const char* charset,
                       std::string shown) {
  auto text = convert(bytes, charset, path);
  if (!text) fail_usage(path, ": the bytes are not valid ", shown, "; say what they are with data.encoding");
  if (text->starts_with(kUtf8Mark)) text->erase(0, kUtf8Mark.size());
  return {std::move(*text), std::move(shown), {}};
}

DecodedText detect(std::string bytes, const std::string& path) {
  const std::string_view view = bytes;
  if (view.starts_with(kLittleMark)) return as_charset(view.substr(2), path, "UTF-16LE", "UTF-16LE");
  if (view.starts_with(kBigMark)) return as_charset(view.substr(2), path, "UTF-16BE", "UTF-16BE");
  const bool marked = view.starts_with(kUtf8Mark);
  if (const auto wide = unmarked_utf16(view); !wide.empty()) {
    return as_charset(view, path, wide.data(), std::string(wide));
  }
  const auto invalid = first_invalid_utf8(view);
  if (!invalid) {
    if (marked) bytes.erase(0, kUtf8Mark.size());
    return {std::move(bytes), marked ? "UTF-8 with BOM" : "UTF-8", {}};
  }
  if (marked || is_damaged_utf8(view)) {
    fail_usage(path, ":", place_of(view, *invalid),
               " is not UTF-8, as the rest of the file is; repair it, or set "
               "data.encoding: replace");
  }
  if (const std::string other = other_charset(view); !other.empty()) {
    fail_usage(path, ":", place_of(view, *invalid), " is not UTF-8; the file looks like ", other,
               "; say so with data.encoding: ", other, ", or name the right one (e.g. cp1252)");
  }
  DecodedText decoded = as_charset(view, path, "windows-1252", "CP1252");
  if (has_c1_control(decoded.text)) {
    fail_usage(path, ":", place_of(view, *invalid),
               " is neither UTF-8 nor CP1252; name the charset with data.encoding");
  }
  decoded.notes.push_back(cat(path, ": not UTF-8, read as CP1252 (", sample_words(decoded.text),
                              "); if these words look wrong, name the charset with data.encoding"));
  return decoded;
}

}  // namespace

DecodedText decode_text(std::string bytes, const std::string& path, const std::string& encoding) {
  if (encoding.empty() || encoding == "auto" || encoding == "error") return detect(std::move(bytes), path);
  if (encoding == "replace") {
    std::size_t replaced = 0;
    DecodedText decoded{replace_invalid_utf8(bytes, &replaced), "UTF-8", {}};
    if (decoded.text.starts_with(kUtf8Mark)) decoded.text.erase(0, kUtf8Mark.size());
    if (replaced) decoded.notes.push_back(cat(path, ": ", replaced, " invalid sequences became U+FFFD"));
    return decoded;
  }
  if (encoding == "skip") {
    fail_usage(
        path,
        ": data.encoding: skip is for pretraining documents; for examples name the charset or say replace");
  }
  std::string charset = encoding;  // Python's short names, which ICU lacks
  for (char& c : charset) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (charset.starts_with("cp125")) charset = "windows-" + charset.substr(2);
  if (charset == "utf-8-sig" || charset == "utf8") charset = "utf-8";
  return as_charset(bytes, path, charset.c_str(), encoding);
}

}  // namespace lathe
