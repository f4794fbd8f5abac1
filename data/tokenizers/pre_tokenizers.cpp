#include "data/tokenizers/pre_tokenizers.h"

#include <algorithm>
#include <functional>

#include <unicode/uchar.h>

#include "data/tokenizers/patterns.h"
#include "data/tokenizers/regex.h"
#include "data/tokenizers/splitting.h"
#include "data/tokenizers/unicode_class.h"

namespace lathe {
namespace {

class KnownSplit : public PreTokenizer {
 public:
  explicit KnownSplit(KnownPattern pattern) : pattern_(pattern) {}
  void apply(PreTokens& tokens) const override {
    std::vector<Span> pieces;
    pieces.reserve(tokens.text.size() / 4 + 1);
    for (const Span& piece : tokens.pieces) {
      const std::string_view text = tokens.text.view().substr(piece.begin, piece.end - piece.begin);
      split_by(pattern_, text, [&](std::size_t b, std::size_t e) {
        pieces.push_back({piece.begin + b, piece.begin + e});
      });
    }
    tokens.pieces = std::move(pieces);
  }
  bool visit(std::string_view text, const std::function<void(const Span&)>& sink) const override {
    split_by(pattern_, text, [&](std::size_t begin, std::size_t end) { sink({begin, end}); });
    return true;
  }

 private:
  KnownPattern pattern_;
};

using Matcher = std::function<std::vector<Span>(std::string_view)>;

class Split : public PreTokenizer {
 public:
  Split(Matcher matcher, SplitBehavior behavior, bool invert)
      : matcher_(std::move(matcher)), behavior_(behavior), invert_(invert) {}
  void apply(PreTokens& tokens) const override {
    std::vector<Span> pieces;
    for (const Span& piece : tokens.pieces) {
      const std::string_view text = tokens.text.view().substr(piece.begin, piece.end - piece.begin);
      std::vector<Part> parts = with_gaps(matcher_(text), text.size());
      for (Part& part : parts) part.match = part.match != invert_;
      arrange(parts, behavior_, piece.begin, pieces);
    }
    tokens.pieces = std::move(pieces);
  }

 private:
  Matcher matcher_;
  SplitBehavior behavior_;
  bool invert_;
};

// Puts `prefix` before pieces that do not start with it, and `replacement` for every space.
class Prefix : public PreTokenizer {
 public:
  enum class Where { Always, First, Never };
  Prefix(std::string prefix, Where where, bool replace_spaces)
      : prefix_(std::move(prefix)), where_(where), replace_spaces_(replace_spaces) {}
  void apply(PreTokens& tokens) const override {
    PreTokens out;
    out.text = AlignedText::changed(tokens.text);
    for (const Span& piece : tokens.pieces) {
      const std::size_t begin = out.text.size();
      append(tokens.text, piece, out.text);
      if (out.text.size() > begin) out.pieces.push_back({begin, out.text.size()});
    }
    tokens = std::move(out);
  }

 private:
  void append(const AlignedText& text, const Span& piece, AlignedText& out) const {
    const std::string_view view = text.view().substr(piece.begin, piece.end - piece.begin);
    const bool starts =
        view.substr(0, prefix_.size()) == prefix_ || (replace_spaces_ && view.substr(0, 1) == " ");
    const std::size_t at = text.origin(piece.begin, piece.end).begin;
    if (!starts && (where_ == Where::Always || (where_ == Where::First && at == 0)))
      out.append(prefix_, {at, at});
    if (!replace_spaces_) return out.copy(text, piece.begin, piece.end);
    for (std::size_t i = piece.begin; i < piece.end;) {
      const std::size_t space = std::min(text.view().find(' ', i), piece.end);
      out.copy(text, i, space);
      if (space < piece.end) out.append(prefix_, text.origin(space, space + 1));
      i = space + 1;
    }
  }

  std::string prefix_;
  Where where_;
  bool replace_spaces_;
};

template <class Predicate>
Matcher match_characters(Predicate predicate) {
  return [predicate](std::string_view text) {
    std::vector<Span> matches;
    for (std::size_t at = 0; at < text.size();) {
      const Scanned c = scan_utf8(text, at);
      if (predicate(c.value)) matches.push_back({at, at + c.length});
      at += c.length;
    }
    return matches;
  };
}

Matcher match_regex(Regex regex) {
  return [regex = std::move(regex)](std::string_view text) {
    std::vector<Span> matches;
    regex.each(text, [&](std::size_t begin, std::size_t end) { matches.push_back({begin, end}); });
    return matches;
  };
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & U_GC_P_MASK) != 0;
}

bool is_number(char32_t c) { return char_classes()[c] == CharClass::Number; }

class Builder {
 public:
  explicit Builder(const std::string& where) : where_(where) {}
  PreTokenizerPlan plan;

  void add(const Json& value) {
    if (value.is_null()) return;
    require(!plan.bytes, where_, ": pre_tokenizer: a step after ByteLevel is not supported");
    const auto type = json_get<std::string>(value, "type", where_);
    if (type == "Sequence") {
      for (const Json& step : json_get<Json>(value, "pretokenizers", where_)) add(step);
    } else if (type == "ByteLevel") {
      byte_level(value);
    } else if (type == "Split") {
      split(value);
    } else if (type == "Metaspace") {
      metaspace(value);
    } else if (type == "Digits") {
      const bool each = json_get_or<bool>(value, "individual_digits", false, where_);
      push(match_characters(is_number), each ? SplitBehavior::Isolated : SplitBehavior::Contiguous);
    } else if (type == "Punctuation") {
      const auto behavior = json_get_or<std::string>(value, "behavior", "Isolated", where_);
      push(match_characters(is_punctuation), split_behavior(behavior, where_));
    } else if (type == "WhitespaceSplit") {
      push(match_characters(is_white_space), SplitBehavior::Removed);
    } else if (type == "Whitespace") {
      push(match_regex(Regex(R"(\w+|[^\w\s]+)", where_)), SplitBehavior::Removed, true);
    } else if (type == "CharDelimiterSplit") {
      const auto delimiter = json_get<std::string>(value, "delimiter", where_);
      push(match_regex(Regex(escape_regex(delimiter), where_)), SplitBehavior::Removed);
    } else {
      fail(where_, ": pre_tokenizer '", type,
           "' is not supported; supported are ByteLevel, Split, Metaspace, Digits, ",
           "Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit and Sequence");
    }
  }

 private:
  void push(Matcher matcher, SplitBehavior behavior, bool invert = false) {
    plan.steps.push_back(std::make_unique<Split>(std::move(matcher), behavior, invert));
  }
  void byte_level(const Json& value) {
    if (json_get_or<bool>(value, "add_prefix_space", true, where_)) {
      plan.steps.push_back(std::make_unique<Prefix>(" ", Prefix::Where::Always, false));
    }
    if (json_get_or<bool>(value, "use_regex", true, where_)) {
      plan.steps.push_back(std::make_unique<KnownSplit>(KnownPattern::Gpt2));
    }
    plan.bytes = true;
  }
  void split(const Json& value) {
    const SplitBehavior behavior = split_behavior(json_get<std::string>(value, "behavior", where_), where_);
    const bool invert = json_get_or<bool>(value, "invert", false, where_);
    const Json pattern = json_get<Json>(value, "pattern", where_);
    if (pattern.contains("String")) {
      push(match_regex(Regex(escape_regex(json_get<std::string>(pattern, "String", where_)), where_)),
           behavior, invert);
      return;
    }
    const auto regex = json_get<std::string>(pattern, "Regex", where_);
    const auto known = known_pattern(regex);
    // A known pattern leaves no gaps, so isolating matches and removing gaps come to the same.
    const bool keeps_matches =
        invert ? behavior == SplitBehavior::Removed : behavior == SplitBehavior::Isolated;
    if (known && (keeps_matches || (invert && behavior == SplitBehavior::Isolated))) {
      plan.steps.push_back(std::make_unique<KnownSplit>(*known));
    } else {
      push(match_regex(Regex(regex, where_)), behavior, invert);
    }
  }
  void metaspace(const Json& value) {
    const auto mark = json_get_or<std::string>(value, "replacement", "\xE2\x96\x81", where_);
    const bool old_prefix = json_get_or<bool>(value, "add_prefix_space", true, where_);
    const auto scheme =
        json_get_or<std::string>(value, "prepend_scheme", old_prefix ? "always" : "never", where_);
    require(scheme == "always" || scheme == "first" || scheme == "never", where_,
            ": Metaspace: prepend_scheme '", scheme, "' is unknown; known are always, first, never");
    const auto where = scheme == "always"  ? Prefix::Where::Always
                       : scheme == "first" ? Prefix::Where::First
                                           : Prefix::Where::Never;
    plan.asks_origins = plan.asks_origins || where == Prefix::Where::First;
    plan.steps.push_back(std::make_unique<Prefix>(mark, where, true));
    if (json_get_or<bool>(value, "split", true, where_)) {
      push(match_regex(Regex(escape_regex(mark), where_)), SplitBehavior::MergedWithNext);
    }
  }

  const std::string& where_;
};

}  // namespace

PreTokenizerPlan make_pre_tokenizer(const Json& value, const std::string& where) {
  Builder builder(where);
  builder.add(value);
  return std::move(builder.plan);
}

}  // namespace lathe
