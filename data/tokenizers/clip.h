#pragma once
// CLIP's tokenizer (Radford et al., arXiv 2103.00020), that of Stable Diffusion's text encoders: byte pairs
// inside words, whose last byte carries "</w>", over lower-cased text. Lossy by design: capitals are gone,
// white space is only known to part words. Ids are those of transformers' CLIPTokenizer (its fast one; the
// older Python class without ftfy treats accents and CJK otherwise).
#include <string>
#include <vector>

#include "data/io/json.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct Companions;  // data/tokenizers/companions.h

inline constexpr char kClipBegin[] = "<|startoftext|>";
inline constexpr char kClipEnd[] = "<|endoftext|>";
inline constexpr char kWordSuffix[] = "</w>";

Json clip_normalizer();     // NFC, white space to one space, lower case
Json clip_pre_tokenizer();  // the published pattern; what it does not match, white space, is dropped

// tokenizer.json of a vocabulary {token: id} and its merges [[left, right]] in order of rank; `unk` is the
// token for bytes that the vocabulary lacks. Error when the vocabulary lacks the begin or the end token.
std::string clip_tokenizer_json(Json vocabulary, Json merges, const std::string& unk,
                                const std::string& where);

// Whether this tokenizer.json is one of CLIP's: words end in "</w>", and there are a begin and an end token.
bool is_clip(const Json& tokenizer_json);

// Names the special tokens that the companions leave to the class (padding is the end token), and adds
// vocab.json and merges.txt, which the older class reads, made from tokenizer.json.
void complete_clip(const Json& tokenizer_json, Companions& companions);

// A folder of vocab.json and merges.txt, as the older class saves them. Error when its class or its tokens
// are not CLIP's.
std::unique_ptr<Tokenizer> tokenizer_from_vocabulary(const std::string& folder);

// tokenizer_config.json and special_tokens_map.json of a tokenizer trained here.
Companions clip_companions(std::size_t model_max_length);

struct PromptIds {
  std::vector<TokenId> ids;  // exactly `length`: begin, text, end, padding
  std::size_t wanted = 0;    // tokens of the whole text with begin and end; above `length`: the text was cut
};

// The row a text encoder reads: what transformers gives for padding="max_length", truncation=True; a word of
// several vectors (checkpoints/diffusion/textual_inversion.h) stands with all of them, as in diffusers. Error
// when the tokenizer names no begin, end or padding token or length < 2.
PromptIds prompt_ids(const Tokenizer& tokenizer, std::string_view text, std::size_t length);

}  // namespace lathe
