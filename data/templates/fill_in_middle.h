#pragma once
// Fill-in-the-middle for code: a document is cut in three and its middle moved to the end, so that a
// left-to-right model learns to insert (Bavarian et al. 2022, arXiv 2207.14255). PSM: <PRE> prefix <SUF>
// suffix <MID> middle <EOS>. SPM, in that paper's variant which shares <PRE>: <PRE> <SUF> suffix <MID> prefix
// middle <EOS>.
#include <cstdint>
#include <optional>
#include <string>

#include "data/templates/render_example.h"

namespace lathe {

struct FimTokens {
  TokenId prefix, suffix, middle;
};
// By the names models use (<|fim_prefix|>, <fim_prefix>, <fim-prefix>, <PRE>, [PREFIX] ...); nothing when the
// tokenizer lacks one of the three.
std::optional<FimTokens> find_fim_tokens(const Tokenizer& tokenizer);

enum class FimOrder { PrefixSuffixMiddle, SuffixPrefixMiddle };

struct FimSplit {  // text[0, begin) is the prefix, text[begin, end) the middle; both between characters
  std::size_t begin = 0, end = 0;
  FimOrder order = FimOrder::PrefixSuffixMiddle;
};
struct FimKey {
  std::uint64_t seed = 0, visit = 0, document = 0;  // visit: the epoch
  double spm_share = 0.5;
};
// A draw of its own: whether the key's document is cut at all.
bool takes_fim(const FimKey& key, double rate);
// Two cuts drawn evenly among the places between characters, and an order: a function of the key and the
// text's length.
FimSplit draw_fim_split(const std::string& text, const FimKey& key);

// BOS where the tokenizer adds it. LossOn::All trains on every token behind it, as pretraining does; any
// other on the middle and EOS. A split beyond the text or inside a character is an Error.
TokenExample render_fim(const std::string& text, const FimSplit& split, const FimTokens& tokens,
                        const Tokenizer& tokenizer, LossOn loss_on);

// `data.fill_in_middle` of a corpus. The split of a text depends on the seed and its content, so not on the
// order or number of files.
struct FimRule {
  FimTokens tokens;
  double rate = 0, spm_rate = 0.5;
  std::uint64_t seed = 0;
};
// A text as the documents that are learned of it: it is cut into pieces of at most `length` tokens first and
// each piece is drawn apart (the paper's context level: a cut row would lose its markers). Neighbouring
// pieces that stay as they are remain one document; a moved piece ends with EOS, and the last document does.
// `encoding` is the text's own.
std::vector<std::vector<TokenId>> fim_documents(const std::string& text, const Encoding& encoding,
                                                std::size_t length, const FimRule& rule,
                                                const Tokenizer& tokenizer);

// What stands in front of the middle, at inference.
std::vector<TokenId> render_fim_prompt(const std::string& prefix, const std::string& suffix,
                                       const FimTokens& tokens, const Tokenizer& tokenizer, FimOrder order);

}  // namespace lathe
