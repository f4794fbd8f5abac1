// Latents and embeddings of captions in the cache: the same bits as without it, made anew where the VAE, the
// text encoder, a picture or a caption changes, and only there.
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>

#include <algorithm>

#include "data/shards/encodings.h"
#include "recipes/schema/load.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"
#include "trainer/pictures/latents.h"
#include "trainer/pictures/prepare_encodings.h"
#include "trainer/pictures/texts.h"

namespace lathe {
namespace {

struct Encoded {
  PreparedPictures data;
  PictureEncodings encodings;
  std::vector<std::string> phases;
};

struct Run {
  TemporaryFolder folder;
  PictureModel plan = tiny::stable_diffusion();
  std::string precision = "fp32", more, sources = "[{generate: shapes, count: 7, name: a}]";

  Recipe recipe() const {
    LoadedRecipe loaded = load_recipe_text(
        "task: diffusion\nname: x\nmodel: {path: somewhere}\ndata: {train: " + sources +
            ", validation: [{generate: shapes, count: 3}], resolution: [16], flip: true, cache: \"" +
            (folder / "cache") + "\"}\ntrain: {max_steps: 2}\n" + more,
        "x.yaml");
    throw_problems(loaded);
    return loaded.recipe;
  }
  Encoded encode() const {
    Encoded made;
    made.data = prepare_pictures(recipe());
    made.encodings = prepare_picture_encodings(recipe(), plan, made.data, precision,
                                               [&](const std::string& phase, double) {
                                                 if (made.phases.empty() || made.phases.back() != phase)
                                                   made.phases.push_back(phase);
                                               });
    return made;
  }
  std::size_t shards(const std::string& what) const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "cache/encodings"))
      count += entry.path().filename().string().starts_with(what) ? 1 : 0;
    return count;
  }
};

// One value of the first tensor, as a tuned VAE would have it.
void change(std::vector<BundleTensor>& tensors) {
  const ByteBlock block = tensors[0].bytes();
  const auto values = std::make_shared<std::vector<std::byte>>(block.bytes.begin(), block.bytes.end());
  (*values)[1] ^= std::byte{1};
  tensors[0] =
      memory_tensor(tensors[0].name, tensors[0].dtype, tensors[0].shape, {std::span(*values), values});
}

TEST_CASE("latents from the cache are those made without it, bit for bit") {
  const Run run;
  const Encoded made = run.encode();
  REQUIRE(made.encodings.latents.size() == 2);
  CHECK(made.encodings.latents[0].size() == 14);  // mirrored too
  CHECK(made.encodings.latents[1].size() == 3);
  const auto vae = build_vae(run.plan);
  LatentSource cached(vae, 5, made.encodings.latents), alone(vae, 5);
  LatentSource only(std::make_shared<AutoencoderKL>(*run.plan.vae, at::kFloat), 5,
                    made.encodings.latents);  // a VAE of zeros: everything comes from the cache
  const auto same = [&](const PictureLoader& loader, std::size_t set) {
    for (std::uint64_t row = 0; row < 40; row += 4) {
      const PictureBatch batch = loader.read(row, 4);
      const at::Tensor wanted = alone.read(batch, set);
      CHECK(at::equal(cached.read(batch, set), wanted));
      CHECK(at::equal(only.read(batch, set), wanted));
    }
  };
  same(PictureLoader(made.data.train, 9), 0);
  same(PictureLoader(made.data.validation[0], 9, false), 1);
}

TEST_CASE("what is kept in memory and what is not are the same latents") {
  const Run run;
  const Encoded made = run.encode();
  const auto vae = build_vae(run.plan);
  const PictureBatch batch = PictureLoader(made.data.train, 9).read(0, 4);
  const LatentMoments moments = moments_alone(*vae, batch, 2);
  CHECK(moments.mean.is_contiguous());
  CHECK(moments.log_variance.is_contiguous());
  CHECK(at::equal(moments.mean, made.encodings.latents[0].find(batch.ids[2])->mean));
}

TEST_CASE("embeddings from the cache are those made without it, whatever stands beside them") {
  for (const std::string precision : {"fp32", "bf16"}) {
    Run run;
    run.precision = precision;
    const Encoded made = run.encode();
    const auto type = precision == "bf16" ? at::kBFloat16 : at::kFloat;
    const auto encoder = build_text_encoder(run.plan, type);
    int encoded = 0;
    const TextSource::Encode encode = [&](const std::string& caption) {
      ++encoded;
      return read_texts(*encoder, token_rows(*run.plan.tokenizer, run.plan.text_encoder, {caption}), nullptr);
    };
    std::vector<std::string> captions = made.data.captions;
    captions.emplace_back("");
    captions.push_back(captions.front());
    TextSource cached(made.encodings.texts), alone;
    const TextCondition found = cached.read(captions, type, encode);
    CHECK(encoded == 0);
    const TextCondition wanted = alone.read(captions, type, encode);
    CHECK(encoded > 1);
    CHECK(encoded < static_cast<int>(captions.size()));  // each once
    CHECK(found.tokens.scalar_type() == type);
    CHECK(at::equal(found.tokens, wanted.tokens));
    CHECK_FALSE(found.pooled.defined());
    CHECK(at::equal(alone.read({captions[2]}, type, encode).tokens, wanted.tokens.narrow(0, 2, 1)));
  }
}

TEST_CASE("the MM-DiT's texts are cached with what is pooled of them") {
  Run run;
  run.plan = tiny::picture_model();
  run.more = "adapter: {kind: lora, rank: 2}\n";
  const Encoded made = run.encode();
  CHECK(made.encodings.latents.empty());
  const auto encoder = build_text_encoder(run.plan, at::kFloat);
  const at::Tensor ids = token_rows(*run.plan.tokenizer, run.plan.text_encoder, {made.data.captions[0]});
  const TextCondition wanted = read_texts(*encoder, ids, &run.plan.transformer);
  const auto found = made.encodings.texts.find(made.data.captions[0]);
  REQUIRE(found);
  CHECK(at::equal(found->tokens, wanted.tokens));
  CHECK(at::equal(found->pooled, wanted.pooled));
}

TEST_CASE("only what changed is encoded again, and it is told before") {
  Run run;
  CHECK(run.encode().phases.size() == 3);  // training and validation pictures, captions
  CHECK(run.encode().phases.empty());
  CHECK(run.shards("latents-") == 2);
  CHECK(run.shards("texts-") == 1);
  change(run.plan.vae_tensors);
  const Encoded other = run.encode();
  REQUIRE(other.phases.size() == 2);
  CHECK(other.phases[0].find("14 to encode") != std::string::npos);
  CHECK(other.phases[0].find("kB in ") != std::string::npos);
  change(run.plan.text_tensors);
  CHECK(run.encode().phases.size() == 1);
  run.precision = "bf16";
  CHECK(run.encode().phases.size() == 1);
  run.plan = tiny::stable_diffusion();
  run.precision = "fp32";
  CHECK(run.encode().phases.empty());  // the first ones are still there
}

TEST_CASE("a caption that changes leaves the latents, a picture that changes the captions") {
  Run run;
  run.encode();
  run.more = "";
  run.sources = "[{generate: shapes, count: 7, name: a, trigger: wug}]";
  const Encoded captioned = run.encode();
  REQUIRE(captioned.phases.size() == 1);
  CHECK(captioned.phases[0].find("captions") != std::string::npos);
  run.sources = "[{generate: shapes, count: 8, name: a, trigger: wug}]";
  CHECK(run.encode().phases.size() >= 1);  // the eighth picture
}

TEST_CASE("nothing is cached where it would change under training, or is not wanted") {
  Run run;
  run.more = "textual_inversion: {token: <wug>}\n";
  CHECK(run.encode().encodings.texts.size() == 0);
  run.more = "adapter: {kind: lora, rank: 2, text_encoder: true}\n";
  CHECK(run.encode().encodings.texts.size() == 0);
  CHECK(run.encode().encodings.latents.size() == 2);
  run.more = "";
  Recipe recipe = run.recipe();
  recipe.data.cache_encodings = false;
  const PictureEncodings none = prepare_picture_encodings(recipe, run.plan, run.encode().data, "fp32");
  CHECK(none.latents.empty());
  CHECK(none.texts.size() == 0);
}

TEST_CASE("stopped between two pictures, it goes on") {
  const Run run;
  const PreparedPictures data = prepare_pictures(run.recipe());
  int told = 0;
  const auto stop = [&](const std::string&, double) {
    if (++told == 9) fail("stopped");
  };
  CHECK_THROWS_AS(prepare_picture_encodings(run.recipe(), run.plan, data, "fp32", stop), Error);
  CHECK(run.shards("latents-") == 0);
  const auto later = [&](const std::string&, double) {
    if (++told == 30) fail("stopped");
  };
  CHECK_THROWS_AS(prepare_picture_encodings(run.recipe(), run.plan, data, "fp32", later), Error);
  CHECK(run.shards("latents-") >= 1);
  const Encoded made = run.encode();
  CHECK(made.phases.size() < 3);
  CHECK(made.encodings.latents[1].size() == 3);
}

}  // namespace
}  // namespace lathe
