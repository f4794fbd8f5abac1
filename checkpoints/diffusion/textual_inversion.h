#pragma once
// Textual inversion (Gal et al., arXiv 2208.01618): a new word of a picture model, as rows behind those of
// its text encoder's table. The word <wug> of three vectors is the tokens <wug>, <wug>_1 and <wug>_2, as
// diffusers names them; a prompt that has the first is read with all (prompt_ids of data/tokenizers/clip.h).
// Its folder: learned_embeds.safetensors {"<wug>": (n, C)}, which diffusers' load_textual_inversion reads,
// and textual_inversion.json, which names the base. Torch-free; values only.
#include <string>
#include <vector>

#include "checkpoints/diffusion/pipeline.h"

namespace lathe {

inline constexpr const char* kLearnedEmbeds = "learned_embeds.safetensors";
inline constexpr const char* kTextualInversionConfig = "textual_inversion.json";
inline constexpr const char* kTokenTable = "text_model.embeddings.token_embedding.weight";

struct TextualInversion {
  std::string base;  // a MODEL of the command line
  std::string token;
  BundleTensor vectors;  // (n, C)
};

// The tokens of a word of `count` vectors.
std::vector<std::string> inversion_tokens(const std::string& token, std::int64_t count);

// The base with the word in its tokenizer and its table (all of the text encoder in fp32 then), the vectors
// at the mean of those of the tokens of `words`, or of the whole table when that is empty. Usage Errors: a
// base that reads no text, a word that its tokenizer has or would not give back, words without tokens.
PictureModel with_new_word(PictureModel base, const std::string& token, std::int64_t count,
                           const std::string& words);
// The same with the vectors of `learned`.
PictureModel with_new_word(PictureModel base, const TextualInversion& learned);

bool is_textual_inversion(const std::string& folder);
std::vector<CheckpointFile> textual_inversion_files(const TextualInversion& learned);
// Untrusted; Errors name file and field.
TextualInversion read_textual_inversion(const std::string& folder);

}  // namespace lathe
