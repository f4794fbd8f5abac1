#include "data/tokenizers/normalizers.h"

#include <vector>

#include "data/tokenizers/regex.h"
#include "data/tokenizers/unicode_class.h"
#include "data/tokenizers/unicode_normalizers.h"

namespace lathe {
namespace {

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  AlignedText apply(AlignedText text) const override {
    for (const auto& step : steps_) text = step->apply(std::move(text));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  AlignedText apply(AlignedText text) const override {
    if (text.empty()) return text;
    AlignedText out = AlignedText::changed(text);
    const std::size_t at = text.origin(0, 0).begin;
    out.append(prefix_, {at, at});
    out.copy(text, 0, text.size());
    return out;
  }

 private:
  std::string prefix_;
};

class Append : public Normalizer {
 public:
  explicit Append(std::string suffix) : suffix_(std::move(suffix)) {}
  AlignedText apply(AlignedText text) const override {
    if (text.empty()) return text;
    AlignedText out = AlignedText::changed(text);
    out.copy(text, 0, text.size());
    const std::size_t at = text.origin(text.size() - 1, text.size()).end;
    out.append(suffix_, {at, at});
    return out;
  }

 private:
  std::string suffix_;
};

class Replace : public Normalizer {
 public:
  Replace(Regex regex, std::string content) : regex_(std::move(regex)), content_(std::move(content)) {}
  AlignedText apply(AlignedText text) const override {
    AlignedText out = AlignedText::changed(text);
    std::size_t done = 0;
    regex_.each(text.view(), [&](std::size_t begin, std::size_t end) {
      out.copy(text, done, begin);
      out.append(content_, text.origin(begin, end));
      done = end;
    });
    if (done == 0) return text;
    out.copy(text, done, text.size());
    return out;
  }

 private:
  Regex regex_;
  std::string content_;
};

class ReplaceLiteral : public Normalizer {
 public:
  ReplaceLiteral(std::string from, std::string content)
      : from_(std::move(from)), content_(std::move(content)) {}
  AlignedText apply(AlignedText text) const override {
    const std::string_view view = text.view();
    std::size_t found = view.find(from_);
    if (found == view.npos) return text;
    AlignedText out = AlignedText::changed(text);
    std::size_t done = 0;
    for (; found != view.npos; found = view.find(from_, done)) {
      out.copy(text, done, found);
      done = found + from_.size();
      out.append(content_, text.origin(found, done));
    }
    out.copy(text, done, view.size());
    return out;
  }

 private:
  std::string from_, content_;
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  AlignedText apply(AlignedText text) const override {
    const std::string_view view = text.view();
    std::size_t begin = 0, end = 0;
    bool seen = false;
    for (std::size_t at = 0; at < view.size();) {
      const Scanned c = scan_utf8(view, at);
      if (!is_white_space(c.value)) {
        if (!seen) begin = at;
        seen = true;
        end = at + c.length;
      }
      at += c.length;
    }
    if (!seen) return left_ || right_ ? text.slice(0, 0) : text;
    return text.slice(left_ ? begin : 0, right_ ? end : view.size());
  }

 private:
  bool left_, right_;
};

std::unique_ptr<Normalizer> make_replace(const Json& value, const std::string& where) {
  const Json pattern = json_get<Json>(value, "pattern", where);
  const auto content = json_get<std::string>(value, "content", where);
  if (pattern.contains("Regex")) {
    const auto expression = json_get<std::string>(pattern, "Regex", where);
    if (expression == kEndOfText) return std::make_unique<Append>(content);
    return std::make_unique<Replace>(Regex(expression, where), content);
  }
  const auto from = json_get<std::string>(pattern, "String", where);
  require(!from.empty(), where, ": normalizer Replace: its pattern is empty");
  return std::make_unique<ReplaceLiteral>(from, content);
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& value, const std::string& where) {
  if (value.is_null()) return nullptr;
  const auto type = json_get<std::string>(value, "type", where);
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (const Json& step : json_get<Json>(value, "normalizers", where)) {
      if (auto made = make_normalizer(step, where)) steps.push_back(std::move(made));
    }
    return std::make_unique<Sequence>(std::move(steps));
  }
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") return make_normal_form(type);
  if (type == "Lowercase") return make_lowercase();
  if (type == "StripAccents") return make_strip_accents();
  if (type == "Prepend") return std::make_unique<Prepend>(json_get<std::string>(value, "prepend", where));
  if (type == "Replace") return make_replace(value, where);
  if (type == "Strip") {
    return std::make_unique<Strip>(json_get_or<bool>(value, "strip_left", true, where),
                                   json_get_or<bool>(value, "strip_right", true, where));
  }
  if (type == "Precompiled") {
    const auto map = json_get_or<std::string>(value, "precompiled_charsmap", "", where);
    if (map.empty()) return nullptr;
    return make_precompiled(Charsmap(decode_base64(map, where), where));
  }
  fail(where, ": normalizer '", type,
       "' is not supported; supported are NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, ",
       "Prepend, Replace, Strip, Precompiled and Sequence");
}

}  // namespace lathe
