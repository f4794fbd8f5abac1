#include "data/tokenizers/pipeline_tokenizer.h"

#include <algorithm>

#include "data/io/hash.h"

namespace lathe {
namespace {

void push(Encoding& out, TokenId id, const Span& span) {
  out.ids.push_back(id);
  out.begin.push_back(span.begin);
  out.end.push_back(span.end);
}

}  // namespace

std::string Tokenizer::fingerprint() const {
  Sha256 hash;
  for (const TokenizerFile& file : files()) {
    hash.update(cat(file.name, '\n', file.content.size(), '\n')).update(std::string_view(file.content));
  }
  return hash.hex();
}

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)),
      added_(parts_.added, parts_.normalizer.get()),
      vocab_size_(parts_.model->vocabulary().size()) {
  for (const AddedToken& token : added_.all()) vocab_size_ = std::max<std::size_t>(vocab_size_, token.id + 1);
}

Encoding PipelineTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  Encoding out;
  out.ids.reserve(text.size() / 4 + 8);
  out.begin.reserve(text.size() / 4 + 8);
  out.end.reserve(text.size() / 4 + 8);
  if (options.add_special) {
    for (const TokenId id : parts_.before) push(out, id, {0, 0});
  }
  for (const Section& section : added_.split_raw(text, options)) {
    if (section.token) {
      push(out, section.token->id, {section.begin, section.end});
      continue;
    }
    const AlignedText part(text.substr(section.begin, section.end - section.begin), section.begin);
    encode_section(parts_.normalizer ? parts_.normalizer->apply(part) : part, options, out);
  }
  if (options.add_special) {
    for (const TokenId id : parts_.after) push(out, id, {text.size(), text.size()});
  }
  return out;
}

void PipelineTokenizer::encode_section(const AlignedText& text, const EncodeOptions& options,
                                       Encoding& out) const {
  for (const Section& section : added_.split_normalized(text, options)) {
    if (section.token) {
      push(out, section.token->id, text.origin(section.begin, section.end));
    } else {
      encode_plain(text.slice(section.begin, section.end), out);
    }
  }
}

void PipelineTokenizer::encode_plain(AlignedText text, Encoding& out) const {
  PreTokens tokens{std::move(text), {}};
  tokens.pieces.push_back({0, tokens.text.size()});
  for (const auto& step : parts_.pre_tokenizer.steps) step->apply(tokens);
  thread_local std::vector<Symbol> symbols;
  const std::string_view view = tokens.text.view();
  for (const Span& piece : tokens.pieces) {
    symbols.clear();
    parts_.model->tokenize(view.substr(piece.begin, piece.end - piece.begin), symbols);
    for (const Symbol& symbol : symbols) {
      push(out, symbol.id, tokens.text.origin(piece.begin + symbol.begin, piece.begin + symbol.end));
    }
  }
}

std::string PipelineTokenizer::decode(const std::vector<TokenId>& ids, bool keep_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const TokenId id : ids) {
    if (!keep_special && is_special(id)) continue;
    tokens.push_back(token_text(id));
  }
  for (const auto& step : parts_.decoder) step->apply(tokens);
  std::string text;
  const bool spaced =
      parts_.decoder.empty();  // as the tokenizers library joins tokens when it has no decoder
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (spaced && i > 0) text += ' ';
    text += tokens[i];
  }
  return text;
}

bool PipelineTokenizer::is_special(TokenId id) const {
  const AddedToken* token = added_.find(id);
  return token && token->special;
}

std::string PipelineTokenizer::token_text(TokenId id) const {
  if (const AddedToken* token = added_.find(id)) return token->content;
  const Vocabulary& vocabulary = parts_.model->vocabulary();
  return vocabulary.has(id) ? vocabulary.text(id) : std::string();
}

std::optional<TokenId> PipelineTokenizer::token_id(std::string_view text) const {
  if (const AddedToken* token = added_.find(text)) return token->id;
  return parts_.model->vocabulary().find(text);
}

}  // namespace lathe
