#include "data/tokenizers/pipeline_tokenizer.h"

#include <algorithm>

#include "data/io/hash.h"

namespace lathe {
namespace {

constexpr std::size_t kMostWordBytes = std::size_t{1} << 18;

// Where the part of a word that begins at `begin` ends: of one of more than kMostWordBytes, which is no word
// of any language, before the character that passes them.
std::size_t part_end(std::string_view text, std::size_t begin, std::size_t end) {
  if (end - begin <= kMostWordBytes) return end;
  std::size_t cut = begin + kMostWordBytes;
  while (cut > begin + kMostWordBytes - 3 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
  return cut;
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

struct PipelineTokenizer::Output {
  std::vector<TokenId>& ids;
  Encoding* traced = nullptr;  // takes the spans

  void push(TokenId id, const Span& span) {
    ids.push_back(id);
    if (!traced) return;
    traced->begin.push_back(span.begin);
    traced->end.push_back(span.end);
  }
};

Encoding PipelineTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  Encoding encoding;
  encoding.ids.reserve(text.size() / 4 + 8);
  encoding.begin.reserve(text.size() / 4 + 8);
  encoding.end.reserve(text.size() / 4 + 8);
  Output out{encoding.ids, &encoding};
  encode_text(text, options, out);
  return encoding;
}

std::vector<TokenId> PipelineTokenizer::ids(std::string_view text) const {
  constexpr std::size_t kLarge = std::size_t{1} << 20;
  std::vector<TokenId> ids;
  // Pages that are never written take no memory; moving a large table to a larger one would.
  ids.reserve(text.size() < kLarge ? text.size() / 4 + 8 : text.size() + 8);
  Output out{ids};
  encode_text(text, {}, out);
  return ids;
}

void PipelineTokenizer::encode_text(std::string_view text, const EncodeOptions& options, Output& out) const {
  // A step that looks where in the original a piece begins must be told the truth.
  const bool traced = out.traced != nullptr || (parts_.normalizer && parts_.pre_tokenizer.asks_origins);
  if (options.add_special) {
    for (const TokenId id : parts_.before) out.push(id, {0, 0});
  }
  for (const Section& section : added_.split_raw(text, options)) {
    if (section.token) {
      out.push(section.token->id, {section.begin, section.end});
      continue;
    }
    AlignedText part(text.substr(section.begin, section.end - section.begin), section.begin, traced);
    encode_section(parts_.normalizer ? parts_.normalizer->apply(std::move(part)) : std::move(part), options,
                   out);
  }
  if (options.add_special) {
    for (const TokenId id : parts_.after) out.push(id, {text.size(), text.size()});
  }
}

void PipelineTokenizer::encode_section(AlignedText text, const EncodeOptions& options, Output& out) const {
  const std::vector<Section> sections = added_.split_normalized(text, options);
  if (sections.size() == 1 && !sections[0].token) return encode_plain(std::move(text), out);
  for (const Section& section : sections) {
    if (section.token) {
      out.push(section.token->id, text.origin(section.begin, section.end));
    } else {
      encode_plain(text.slice(section.begin, section.end), out);
    }
  }
}

void PipelineTokenizer::encode_plain(AlignedText text, Output& out) const {
  const auto& steps = parts_.pre_tokenizer.steps;
  const auto encode_one = [&](const Span& piece) { encode_piece(text, piece, out); };
  if (steps.size() == 1 && steps[0]->visit(text.view(), encode_one)) return;
  PreTokens tokens{std::move(text), {}};
  tokens.pieces.push_back({0, tokens.text.size()});
  for (const auto& step : steps) step->apply(tokens);
  for (const Span& piece : tokens.pieces) encode_piece(tokens.text, piece, out);
}

void PipelineTokenizer::encode_piece(const AlignedText& text, const Span& piece, Output& out) const {
  thread_local std::vector<Symbol> symbols;
  const std::string_view view = text.view();
  // Of characters a piece may be the whole text, not a word.
  for (std::size_t begin = piece.begin; begin < piece.end;) {
    const std::size_t end = parts_.pre_tokenizer.bytes ? part_end(view, begin, piece.end) : piece.end;
    symbols.clear();
    parts_.model->tokenize(view.substr(begin, end - begin), symbols);
    for (const Symbol& symbol : symbols) {
      out.push(symbol.id, out.traced ? text.origin(begin + symbol.begin, begin + symbol.end) : Span{});
    }
    begin = end;
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
