// What the sources say of their pictures.
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "data/images/list_pictures.h"
#include "data/io/utf8.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr const char* kNoTrigger = "none";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string words_of(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool gap = c == '_' || c == '-' || c == ' ' || c == '+';
    if (gap && (out.empty() || out.back() == ' ')) continue;
    out += gap ? ' ' : c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// Without the number that tells files of one kind apart: "frog (2)", "frog_03", "frog3".
std::string without_number(std::string words) {
  const auto drop = [&](auto wanted) {
    while (!words.empty() && wanted(words.back())) words.pop_back();
  };
  drop([](char c) { return c == ')'; });
  drop(is_digit);
  drop([](char c) { return c == '(' || c == ' ' || c == '.'; });
  return words;
}

bool says_nothing(const std::string& words) {
  constexpr const char* kCounted[] = {"",     "img",  "image", "picture", "pic",        "photo", "dsc",
                                      "dscn", "dscf", "pxl",   "frame",   "screenshot", "scan",  "untitled"};
  return std::any_of(std::begin(kCounted), std::end(kCounted),
                     [&](const char* name) { return lower(words) == name; });
}

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
}

bool is_word_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

// As a word of its own: "sks" is not in "asks".
bool has_word(const std::string& text, const std::string& word) {
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_word_byte(text[at - 1])) && (end == text.size() || !is_word_byte(text[end])))
      return true;
  }
  return false;
}

}  // namespace

void apply_trigger(const std::string& trigger, const std::vector<SourceSection>& sources, PictureList& list) {
  std::vector<std::string> words;  // of each source
  for (const SourceSection& source : sources) {
    const std::string& word = source.trigger.empty() ? trigger : source.trigger;
    words.push_back(word == kNoTrigger ? "" : composed_text(word, "data.trigger"));
  }
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> counts;  // had it, all
  for (PictureFile& picture : list.pictures) {
    const std::string& word = words.at(picture.source);
    std::string& caption = picture.caption;
    if (word.empty() && caption.find("{trigger}") != std::string::npos)
      fail_usage(picture.name, ": its caption has {trigger}, but ",
                 sources.at(picture.source).trigger == kNoTrigger ? "its source has 'trigger: none'"
                                                                  : "the recipe has no 'data.trigger'");
    if (word.empty()) continue;
    replace_all(caption, "{trigger}", word);
    auto& [had, all] = counts[word];
    ++all;
    if (has_word(lower(caption), lower(word)))  // CLIP's tokenizer knows no capitals
      ++had;
    else
      caption = caption.empty() ? word : word + ", " + caption;
  }
  for (const auto& [word, count] : counts)
    list.notes.push_back(
        cat("trigger '", word, "': in ", count.first, " of ", count.second,
            " captions, put before the other ", count.second - count.first,
            count.second < list.pictures.size()
                ? cat("; not for the ", list.pictures.size() - count.second, " pictures of other sources")
                : std::string()));
}

std::vector<std::string> side_notes(const std::string& set, const PictureList& list) {
  constexpr const char* kSides[] = {"left", "right", "gauche", "droite"};
  std::uint64_t count = 0;
  std::string first;
  for (const PictureFile& picture : list.pictures) {
    const std::string words = lower(picture.caption);
    if (std::none_of(std::begin(kSides), std::end(kSides),
                     [&](const char* side) { return has_word(words, side); }))
      continue;
    if (count++ == 0) first = cat("'", picture.caption, "' (", picture.name, ")");
  }
  if (count == 0) return {};
  return {
      cat(count, " caption(s) of '", set,
          "' say left or right, and data.flip shows their pictures mirrored too, with the same words: set "
          "data.flip to false, or leave the sides out of the captions; the first: ",
          first)};
}

std::string caption_of_names(const std::string& relative, const std::string& root) {
  const std::filesystem::path path(relative);
  std::string caption;
  const auto add = [&](const std::string& words) {
    caption += (caption.empty() || words.empty() ? "" : " ") + words;
  };
  for (const auto& folder : path.parent_path())
    add(words_of(folder.string().substr(repeats_prefix(folder.string()))));
  const std::string name = without_number(words_of(path.stem().string()));
  if (!says_nothing(name)) add(name);
  return caption.empty() ? words_of(root.substr(repeats_prefix(root))) : caption;
}

std::size_t repeats_prefix(const std::string& folder) {
  const std::size_t digits = folder.find_first_not_of("0123456789");
  const bool is =
      digits != 0 && digits != std::string::npos && folder[digits] == '_' && digits + 1 < folder.size();
  return is ? digits + 1 : 0;
}

std::string composed_text(const std::string& text, const std::string& where) {
  if (const auto at = first_invalid_utf8(text))
    fail(where, ": byte ", *at, " is no UTF-8; save the captions as UTF-8");
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(status);
  require(U_SUCCESS(status), "Unicode tables: NFC: ", u_errorName(status));
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  form->normalizeUTF8(0, {text.data(), static_cast<std::int32_t>(text.size())}, sink, nullptr, status);
  require(U_SUCCESS(status), "Unicode tables: NFC: ", u_errorName(status));
  return out;
}

}  // namespace lathe
