#pragma once
// Shared by the tokenizer tests.
#include <string>
#include <utility>
#include <vector>

#include "data/io/json.h"
#include "data/tokenizers/tokenizer.h"
#include "tests/places.h"

namespace lathe::test {

class Documents : public DocumentStream {
 public:
  explicit Documents(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  bool next(std::string& text) override {
    if (at_ == texts_.size()) return false;
    text = texts_[at_++];
    return true;
  }
  void reset() override { at_ = 0; }

 private:
  std::vector<std::string> texts_;
  std::size_t at_ = 0;
};

inline std::string fixture(const std::string& name) {
  return test::source_folder() + "/tests/unit/data/tokenizers/fixtures/" + name;
}

// Texts that go wrong elsewhere: white space, control characters, scripts, marks, contractions.
inline std::vector<std::string> hard_texts() {
  return read_json(fixture("texts.json")).get<std::vector<std::string>>();
}

// The text of the Error that `action` throws; empty when it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}
inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

// A text drawn from tricky fragments; a linear congruence, the same everywhere.
inline std::string random_text(unsigned seed, std::size_t fragments) {
  static const std::vector<std::string> pieces = {"'",
                                                  " ",
                                                  "  ",
                                                  "\t",
                                                  "\n",
                                                  "\r",
                                                  "s",
                                                  "S",
                                                  "\xC5\xBF",
                                                  "T",
                                                  "re",
                                                  "LL",
                                                  "l",
                                                  "ve",
                                                  "d",
                                                  "M",
                                                  "\xC3\xA9",
                                                  "e\xCC\x81",
                                                  "\xE6\x97\xA5",
                                                  "1",
                                                  "23",
                                                  "4567",
                                                  "\xC2\xBD",
                                                  "\xE2\x85\xA7",
                                                  "!",
                                                  "?!",
                                                  "_",
                                                  "-",
                                                  "\xC2\xA0",
                                                  "\xE3\x80\x80",
                                                  "\xE1\xA0\x8E",
                                                  "\xE2\x80\x8B",
                                                  "\xC2\x85",
                                                  "\xE2\x80\xA8",
                                                  "\xF0\x9F\x98\x80",
                                                  "\x1C",
                                                  "\x7F",
                                                  "\xE2\x96\x81",
                                                  "\xC4\xA0",
                                                  "\xD9\xA3",
                                                  "\xE0\xA4\x85",
                                                  "'s",
                                                  "'Re",
                                                  "def ",
                                                  "    "};
  std::string text;
  for (std::size_t i = 0; i < fragments; ++i) {
    seed = seed * 1664525u + 1013904223u;
    text += pieces[(seed >> 8) % pieces.size()];
  }
  return text;
}

// The content of a tokenizer's file; "" when it has none of that name.
inline std::string file_of(const Tokenizer& tokenizer, const std::string& name) {
  for (const TokenizerFile& file : tokenizer.files()) {
    if (file.name == name) return file.content;
  }
  return {};
}

}  // namespace lathe::test
