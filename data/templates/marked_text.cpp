#include "data/templates/marked_text.h"

#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include <algorithm>

#include "data/io/utf8.h"
#include "recipes/schema/error.h"

namespace lathe {

SourceId MarkedText::source_at(std::size_t at) const {
  auto run = std::upper_bound(runs_.begin(), runs_.end(), at,
                              [](std::size_t position, const Run& r) { return position < r.begin; });
  return run == runs_.begin() ? kTemplateSource : std::prev(run)->source;
}

void MarkedText::append(std::string_view text, SourceId source) {
  if (text.empty()) return;
  require(bytes_.size() + text.size() <= kMaxTextBytes, "a text longer than ", kMaxTextBytes >> 20, " MB");
  if (runs_.empty() || runs_.back().source != source) runs_.push_back({bytes_.size(), source});
  bytes_.append(text);
}

void MarkedText::append(const MarkedText& text, std::size_t begin, std::size_t end) {
  if (begin >= end) return;
  auto run = std::upper_bound(text.runs_.begin(), text.runs_.end(), begin,
                              [](std::size_t position, const Run& r) { return position < r.begin; });
  --run;  // the first run begins at 0
  for (; run != text.runs_.end() && run->begin < end; ++run) {
    const std::size_t from = std::max(run->begin, begin);
    const std::size_t to = std::next(run) == text.runs_.end() ? end : std::min(std::next(run)->begin, end);
    append(std::string_view(text.bytes_).substr(from, to - from), run->source);
  }
}

MarkedText MarkedText::slice(std::size_t begin, std::size_t end) const {
  MarkedText out;
  out.append(*this, begin, end);
  return out;
}

void MarkedText::mark_generated() {
  for (Run& run : runs_) run.source |= kGeneratedBit;
}

std::vector<std::size_t> character_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) offsets.push_back(i);
  }
  offsets.push_back(text.size());
  return offsets;
}

MarkedText strip_text(const MarkedText& text, const std::string* characters, StripSides sides) {
  std::u32string set;
  for (std::size_t i = 0; characters && i < characters->size();) {
    const CodePoint c = decode_utf8(*characters, i);
    set.push_back(c.value);
    i += c.length;
  }
  const auto dropped = [&](std::size_t at) {
    const char32_t c = decode_utf8(text.bytes(), at).value;
    return characters ? set.find(c) != set.npos : is_python_space(c);
  };
  const std::vector<std::size_t> at = character_offsets(text.bytes());
  std::size_t first = 0, last = at.size() - 1;
  while (sides.left && first < last && dropped(at[first])) ++first;
  while (sides.right && last > first && dropped(at[last - 1])) --last;
  return text.slice(at[first], at[last]);
}

MarkedText replace_text(const MarkedText& text, const MarkedText& old, const MarkedText& with,
                        std::int64_t count) {
  MarkedText out;
  if (old.empty()) {
    const std::vector<std::size_t> at = character_offsets(text.bytes());
    for (std::size_t i = 0; i < at.size(); ++i) {
      if (count < 0 || static_cast<std::int64_t>(i) < count) out.append(with);
      if (i + 1 < at.size()) out.append(text, at[i], at[i + 1]);
    }
    return out;
  }
  std::size_t done = 0;
  for (std::int64_t made = 0; count < 0 || made < count; ++made) {
    const std::size_t found = text.bytes().find(old.bytes(), done);
    if (found == std::string::npos) break;
    out.append(text, done, found);
    out.append(with);
    done = found + old.size();
  }
  out.append(text, done, text.size());
  return out;
}

namespace {

std::string map_case(char32_t c, TextCase to) {
  UChar in[2], out[8];
  int32_t length = 0, made = 0;
  UErrorCode status = U_ZERO_ERROR;
  u_strFromUTF32(in, 2, &length, reinterpret_cast<const UChar32*>(&c), 1, &status);
  if (to == TextCase::Upper) made = u_strToUpper(out, 8, in, length, "", &status);
  if (to == TextCase::Lower) made = u_strToLower(out, 8, in, length, "", &status);
  if (to == TextCase::Title) made = u_strToTitle(out, 8, in, length, nullptr, "", &status);
  char bytes[32];
  int32_t size = 0;
  u_strToUTF8(bytes, sizeof bytes, &size, out, made, &status);
  std::string text;
  if (U_FAILURE(status)) {
    append_utf8(text, c);
  } else {
    text.assign(bytes, static_cast<std::size_t>(size));
  }
  return text;
}

bool is_cased(char32_t c) { return u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_CASED); }

// Greek capital sigma becomes the final form at the end of a word (Unicode 15, table 3-17).
bool is_final_sigma(const std::u32string& text, std::size_t at) {
  const auto ignorable = [&](std::size_t i) {
    return u_hasBinaryProperty(static_cast<UChar32>(text[i]), UCHAR_CASE_IGNORABLE);
  };
  std::size_t before = at, after = at + 1;
  while (before > 0 && ignorable(before - 1)) --before;
  while (after < text.size() && ignorable(after)) ++after;
  return before > 0 && is_cased(text[before - 1]) && !(after < text.size() && is_cased(text[after]));
}

}  // namespace

MarkedText change_case(const MarkedText& text, TextCase to) {
  const std::vector<std::size_t> at = character_offsets(text.bytes());
  std::u32string characters;
  for (std::size_t i = 0; i + 1 < at.size(); ++i)
    characters.push_back(decode_utf8(text.bytes(), at[i]).value);
  MarkedText out;
  bool inside = false;  // a word, as str.title sees words
  for (std::size_t i = 0; i < characters.size(); ++i) {
    const char32_t c = characters[i];
    TextCase wanted = to;
    if (to == TextCase::Title) wanted = inside ? TextCase::Lower : TextCase::Title;
    if (to == TextCase::Capitalize) wanted = i > 0 ? TextCase::Lower : TextCase::Title;
    inside = is_cased(c);
    const bool sigma = c == 0x3A3 && wanted == TextCase::Lower && is_final_sigma(characters, i);
    out.append(sigma ? "\xCF\x82" : map_case(c, wanted), text.source_at(at[i]));
  }
  return out;
}

}  // namespace lathe
