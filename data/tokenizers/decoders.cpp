#include "data/tokenizers/decoders.h"

#include <optional>

#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/regex.h"

namespace lathe {
namespace {

std::string replace_all(const std::string& text, const std::string& from, const std::string& to) {
  std::string out;
  std::size_t at = 0;
  for (std::size_t found; (found = text.find(from, at)) != std::string::npos; at = found + from.size()) {
    out.append(text, at, found - at);
    out += to;
  }
  return out.append(text, at, std::string::npos);
}

class ByteLevelDecoder : public TokenDecoder {
 public:
  explicit ByteLevelDecoder(std::string word_suffix) : suffix_(std::move(word_suffix)) {}
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) {
      const bool word_ends = !suffix_.empty() && token.size() >= suffix_.size() &&
                             token.compare(token.size() - suffix_.size(), suffix_.size(), suffix_) == 0;
      const std::string text = word_ends ? token.substr(0, token.size() - suffix_.size()) : token;
      bytes += from_byte_alphabet(text).value_or(text);
      if (word_ends) bytes += ' ';
    }
    if (!suffix_.empty() && !bytes.empty() && bytes.back() == ' ') bytes.pop_back();
    tokens.assign(1, std::move(bytes));
  }

 private:
  std::string suffix_;
};

// "<0x0A>" becomes the byte. Bytes stay bytes even where they form no valid UTF-8.
class ByteFallbackDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      if (const auto byte = parse(token)) token.assign(1, *byte);
    }
  }

 private:
  static std::optional<char> parse(const std::string& token) {
    if (token.size() != 6 || token.compare(0, 3, "<0x") != 0 || token[5] != '>') return std::nullopt;
    int value = 0;
    for (const char c : {token[3], token[4]}) {
      const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      if (digit < 0) return std::nullopt;
      value = value * 16 + digit;
    }
    return static_cast<char>(value);
  }
};

class FuseDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
};

class MetaspaceDecoder : public TokenDecoder {
 public:
  MetaspaceDecoder(std::string mark, bool prepended) : mark_(std::move(mark)), prepended_(prepended) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_all(tokens[i], mark_, i == 0 && prepended_ ? "" : " ");
    }
  }

 private:
  std::string mark_;
  bool prepended_;
};

class ReplaceDecoder : public TokenDecoder {
 public:
  ReplaceDecoder(Regex regex, std::string content) : regex_(std::move(regex)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string out;
      std::size_t at = 0;
      regex_.each(token, [&](std::size_t begin, std::size_t end) {
        out.append(token, at, begin - at) += content_;
        at = end;
      });
      token = out.append(token, at, std::string::npos);
    }
  }

 private:
  Regex regex_;
  std::string content_;
};

// A literal is replaced without a regular expression: fallback bytes need not be UTF-8.
class LiteralReplaceDecoder : public TokenDecoder {
 public:
  LiteralReplaceDecoder(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = replace_all(token, from_, to_);
  }

 private:
  std::string from_, to_;
};

class StripDecoder : public TokenDecoder {
 public:
  StripDecoder(std::string content, std::size_t start, std::size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      for (std::size_t i = 0; i < start_ && token.compare(0, content_.size(), content_) == 0; ++i) {
        token.erase(0, content_.size());
      }
      for (std::size_t i = 0; i < stop_ && ends(token); ++i) token.erase(token.size() - content_.size());
    }
  }

 private:
  bool ends(const std::string& token) const {
    return token.size() >= content_.size() &&
           token.compare(token.size() - content_.size(), content_.size(), content_) == 0;
  }
  std::string content_;
  std::size_t start_, stop_;
};

class WordSuffixDecoder : public TokenDecoder {  // "BPEDecoder": the suffix marks the end of a word
 public:
  explicit WordSuffixDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
    }
  }

 private:
  std::string suffix_;
};

void add(const Json& value, const std::string& word_suffix, const std::string& where, DecoderChain& chain) {
  if (value.is_null()) return;
  const auto type = json_get<std::string>(value, "type", where);
  if (type == "Sequence") {
    for (const Json& step : json_get<Json>(value, "decoders", where)) add(step, word_suffix, where, chain);
  } else if (type == "ByteLevel") {
    chain.push_back(std::make_unique<ByteLevelDecoder>(word_suffix));
  } else if (type == "ByteFallback") {
    chain.push_back(std::make_unique<ByteFallbackDecoder>());
  } else if (type == "Fuse") {
    chain.push_back(std::make_unique<FuseDecoder>());
  } else if (type == "Metaspace") {
    const bool old_prefix = json_get_or<bool>(value, "add_prefix_space", true, where);
    const auto scheme =
        json_get_or<std::string>(value, "prepend_scheme", old_prefix ? "always" : "never", where);
    const auto mark = json_get_or<std::string>(value, "replacement", "\xE2\x96\x81", where);
    require(!mark.empty(), where, ": decoder Metaspace: 'replacement' is empty");
    chain.push_back(std::make_unique<MetaspaceDecoder>(mark, scheme != "never"));
  } else if (type == "Replace") {
    const Json pattern = json_get<Json>(value, "pattern", where);
    const auto content = json_get<std::string>(value, "content", where);
    if (pattern.contains("String")) {
      const auto from = json_get<std::string>(pattern, "String", where);
      require(!from.empty(), where, ": decoder Replace: its pattern is empty");
      chain.push_back(std::make_unique<LiteralReplaceDecoder>(from, content));
    } else {
      chain.push_back(std::make_unique<ReplaceDecoder>(
          Regex(json_get<std::string>(pattern, "Regex", where), where), content));
    }
  } else if (type == "Strip") {
    const auto content = json_get<std::string>(value, "content", where);
    require(!content.empty(), where, ": decoder Strip: 'content' is empty");
    chain.push_back(std::make_unique<StripDecoder>(content, json_get<std::size_t>(value, "start", where),
                                                   json_get<std::size_t>(value, "stop", where)));
  } else if (type == "BPEDecoder") {
    const auto suffix = json_get_or<std::string>(value, "suffix", "</w>", where);
    require(!suffix.empty(), where, ": decoder BPEDecoder: 'suffix' is empty");
    chain.push_back(std::make_unique<WordSuffixDecoder>(suffix));
  } else {
    fail(where, ": decoder '", type,
         "' is not supported; supported are ByteLevel, ByteFallback, Fuse, Metaspace, ",
         "Replace, Strip, BPEDecoder and Sequence");
  }
}

}  // namespace

DecoderChain make_decoder(const Json& value, const std::string& word_suffix, const std::string& where) {
  DecoderChain chain;
  add(value, word_suffix, where, chain);
  return chain;
}

}  // namespace lathe
