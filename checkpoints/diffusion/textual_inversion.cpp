#include "checkpoints/diffusion/textual_inversion.h"

#include <algorithm>
#include <filesystem>

#include "checkpoints/bundle/grow.h"
#include "checkpoints/diffusion/pipeline_parts.h"
#include "checkpoints/formats/safetensors.h"
#include "data/tokenizers/grow.h"

namespace lathe {

namespace {

constexpr const char* kBaseKey = "base_model_name_or_path";

BundleTensor& token_table(PictureModel& model) {
  const auto found = std::find_if(model.text_tensors.begin(), model.text_tensors.end(),
                                  [](const BundleTensor& tensor) { return tensor.name == kTokenTable; });
  require(found != model.text_tensors.end(), "the text encoder has no tensor '", kTokenTable, "'");
  return *found;
}

// The tokenizer grows, the text encoder becomes fp32 (what is trained is not rounded to the base's type);
// returns the first of the new ids.
std::int64_t add_word(PictureModel& model, const std::string& token, std::int64_t count) {
  if (!model.by_text())
    fail_usage("textual_inversion: the base draws by class and reads no texts, so there is no word to learn");
  const auto first = static_cast<std::int64_t>(model.tokenizer->vocab_size());
  model.tokenizer = add_tokens(*model.tokenizer, inversion_tokens(token, count), {});
  // An end known as the largest id would be lost behind new ones.
  if (const auto end = model.tokenizer->special().eos)
    model.text_encoder.eos_token_id = static_cast<std::int64_t>(*end);
  for (BundleTensor& tensor : model.text_tensors) tensor = convert_tensor(std::move(tensor), DType::F32);
  return first;
}

}  // namespace

std::vector<std::string> inversion_tokens(const std::string& token, std::int64_t count) {
  std::vector<std::string> tokens{token};
  for (std::int64_t i = 1; i < count; ++i) tokens.push_back(cat(token, "_", i));
  return tokens;
}

PictureModel with_new_word(PictureModel base, const std::string& token, std::int64_t count,
                           const std::string& words) {
  std::vector<std::int64_t> like;
  if (!words.empty() && base.tokenizer)
    for (const TokenId id : base.tokenizer->ids(words)) like.push_back(static_cast<std::int64_t>(id));
  if (!words.empty() && like.empty())
    fail_usage("textual_inversion.initialise_from: '", words, "' has no token of the base's tokenizer");
  const std::int64_t first = add_word(base, token, count);
  BundleTensor& table = token_table(base);
  table = grown_table(table, first, count, like);
  base.text_encoder.vocab_size = table.shape[0];
  return base;
}

PictureModel with_new_word(PictureModel base, const TextualInversion& learned) {
  const std::int64_t first = add_word(base, learned.token, learned.vectors.shape.at(0));
  BundleTensor& table = token_table(base);
  table = table_with_rows(table, first, learned.vectors);
  base.text_encoder.vocab_size = table.shape[0];
  return base;
}

bool is_textual_inversion(const std::string& folder) {
  return std::filesystem::exists(folder + "/" + kTextualInversionConfig) &&
         std::filesystem::exists(folder + "/" + kLearnedEmbeds);
}

std::vector<CheckpointFile> textual_inversion_files(const TextualInversion& learned) {
  BundleTensor vectors = learned.vectors;
  vectors.name = learned.token;
  return {
      json_file(kTextualInversionConfig,
                Json{{kBaseKey, learned.base}, {"token", learned.token}, {"vectors", vectors.shape.at(0)}}),
      {kLearnedEmbeds, {vectors}, ""}};
}

TextualInversion read_textual_inversion(const std::string& folder) {
  const std::string where = folder + "/" + kTextualInversionConfig, file = folder + "/" + kLearnedEmbeds;
  const Json config = read_json(where);
  TextualInversion learned;
  learned.base = json_get<std::string>(config, kBaseKey, where);
  learned.token = json_get<std::string>(config, "token", where);
  require(!learned.base.empty() && !learned.token.empty(), where, ": names no base or no token");
  std::vector<BundleTensor> tensors = read_safetensors(file).tensors;
  require(tensors.size() == 1 && tensors.front().name == learned.token, file, ": wanted one tensor, '",
          learned.token, "'");
  learned.vectors = std::move(tensors.front());
  const std::vector<std::int64_t>& shape = learned.vectors.shape;
  const DType dtype = learned.vectors.dtype;
  require(shape.size() == 2 && shape[0] > 0 && shape[1] > 0, file, ": '", learned.token, "' has shape ",
          shape_text(shape), ", wanted (vectors, channels)");
  require(dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16, file, ": '", learned.token,
          "' is ", dtype_name(dtype), ", wanted F32, F16 or BF16");
  return learned;
}

}  // namespace lathe
