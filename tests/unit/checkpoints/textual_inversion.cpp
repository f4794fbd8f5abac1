#include "checkpoints/diffusion/textual_inversion.h"

#include "checkpoints/exporters/textual_inversion.h"
#include "data/tokenizers/clip.h"
#include "support.h"
#include "tests/catch.h"
#include "tiny_pipeline.h"

using namespace lathe;

namespace {

std::vector<float> rows_of(const PictureModel& model, std::int64_t first, std::int64_t count) {
  const std::vector<float> all = values_of(find_tensor(model.text_tensors, kTokenTable));
  const std::int64_t width = model.text_encoder.hidden_size;
  return {all.begin() + first * width, all.begin() + (first + count) * width};
}

TextualInversion learned_word() { return {"runs/base", "<wug>", counting("any", {2, 12})}; }

}  // namespace

TEST_CASE("a new word's rows stand behind the tokenizer's and start from the mean of the words named") {
  const PictureModel base = tiny::picture_model();
  const auto first = static_cast<std::int64_t>(base.tokenizer->vocab_size());
  const std::vector<TokenId> like = base.tokenizer->ids("red circle");
  REQUIRE(like.size() >= 2);
  const PictureModel grown = with_new_word(base, "<wug>", 3, "red circle");
  CHECK(grown.tokenizer->vocab_size() == base.tokenizer->vocab_size() + 3);
  CHECK(grown.text_encoder.vocab_size == std::max<std::int64_t>(562, first + 3));
  CHECK(rows_of(grown, 0, first) == rows_of(base, 0, first));
  for (std::size_t c = 0; c < 12; ++c) {
    double mean = 0;
    for (const TokenId id : like)
      mean += static_cast<double>(rows_of(base, id, 1)[c]) / static_cast<double>(like.size());
    for (std::int64_t row = 0; row < 3; ++row)
      CHECK(static_cast<double>(rows_of(grown, first + row, 1)[c]) == Approx(mean).margin(1e-6));
  }
  check_picture_model(grown, "grown");
  CHECK_THROWS_AS(with_new_word(grown, "<wug>", 1, ""), Error);  // there already
}

TEST_CASE("a prompt with the word is read with all of its vectors, and counted so") {
  const PictureModel base = tiny::picture_model();
  const TokenId first = static_cast<TokenId>(base.tokenizer->vocab_size());
  const PictureModel grown = with_new_word(base, learned_word());
  const PromptIds row = prompt_ids(*grown.tokenizer, "a <wug> red", 10),
                  plain = prompt_ids(*base.tokenizer, "a red", 10);
  std::vector<TokenId> wanted = plain.ids;
  wanted.insert(wanted.begin() + 2, {first, first + 1});
  wanted.resize(10);
  CHECK(row.ids == wanted);
  CHECK(row.wanted == plain.wanted + 2);
  CHECK(rows_of(grown, first, 2)[13] == 13.0F);
}

TEST_CASE("the folder of a new word is read as it was written, and damaged ones are told") {
  const TemporaryFolder folder;
  tiny::write_folder(folder.path(), textual_inversion_files(learned_word()));
  REQUIRE(is_textual_inversion(folder.path()));
  const TextualInversion read = read_textual_inversion(folder.path());
  CHECK(read.base == "runs/base");
  CHECK(read.token == "<wug>");
  CHECK(read.vectors.shape == std::vector<std::int64_t>{2, 12});
  TextualInversion wide = learned_word();
  wide.vectors.shape = {1, 24};
  CHECK_THROWS_AS(with_new_word(tiny::picture_model(), wide), Error);
  TextualInversion other = learned_word();
  other.token = "<dax>";
  std::vector<CheckpointFile> files = textual_inversion_files(learned_word());
  files[1].tensors = textual_inversion_files(other)[1].tensors;
  tiny::write_folder(folder.path(), files);
  CHECK_THROWS_AS(read_textual_inversion(folder.path()), Error);
}

TEST_CASE("the second file's name is the word in other programs' prompts") {
  CHECK(embedding_file("<wug>") == "wug.safetensors");
  CHECK(embedding_file("<>") == "embedding.safetensors");
  CHECK(embedding_file("<my-cat_2>") == "my-cat_2.safetensors");
}
