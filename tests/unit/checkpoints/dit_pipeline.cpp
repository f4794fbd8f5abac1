// The folder of a DiT: what diffusers will find in it, and what is refused when one is read.
#include <functional>

#include "checkpoints/diffusion/pipeline.h"
#include "tests/unit/checkpoints/support.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

namespace lathe {
namespace {

PictureModel dit_model() {
  PictureModel model;
  DiTSpec spec;
  spec.sample_size = 8;
  spec.in_channels = spec.out_channels = 1;
  spec.num_layers = 2;
  spec.num_heads = 2;
  spec.head_size = 4;
  spec.num_classes = 3;
  model.dit = spec;
  model.classes = {"cat", "dog", "hen"};
  model.schedule.kind = NoiseKind::Cosine;
  model.prediction = Prediction::Velocity;
  model.transformer_tensors = tiny::random_tensors(dit_parameters(spec), 0);
  return model;
}

TEST_CASE("a DiT's files carry diffusers' names and are read back") {
  const PictureModel model = dit_model();
  std::map<std::string, CheckpointFile> files;
  for (const CheckpointFile& file : pipeline_files(model)) files.emplace(file.name, file);
  REQUIRE(files.size() == 4);
  const Json index = Json::parse(files.at("model_index.json").text);
  CHECK(index["_class_name"] == "DiTPipeline");
  CHECK(index["transformer"] == Json::array({"diffusers", "DiTTransformer2DModel"}));
  CHECK(index["scheduler"] == Json::array({"diffusers", "DDIMScheduler"}));
  CHECK(index["vae"] == Json::array({nullptr, nullptr}));
  CHECK(index["id2label"] == Json{{"0", "cat"}, {"1", "dog"}, {"2", "hen"}});
  const Json config = Json::parse(files.at("transformer/config.json").text);
  CHECK(config["num_embeds_ada_norm"] == 3);
  CHECK(config["norm_type"] == "ada_norm_zero");

  const TemporaryFolder folder;
  const std::string path = folder / "dit";
  tiny::write_folder(path, pipeline_files(model));
  const PictureModel found = read_pipeline(path);
  REQUIRE(found.dit);
  CHECK(dit_config(*found.dit) == dit_config(*model.dit));
  CHECK(found.classes == model.classes);
  CHECK(found.class_rows() == 4);
  CHECK(found.prediction == Prediction::Velocity);
  CHECK(found.schedule.kind == NoiseKind::Cosine);
  REQUIRE(found.transformer_tensors.size() == model.transformer_tensors.size());
  for (std::size_t i = 0; i < found.transformer_tensors.size(); ++i)
    CHECK(values_of(found.transformer_tensors[i]) == values_of(model.transformer_tensors[i]));
}

TEST_CASE("what a foreign DiT folder says of classes and parts is read or refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "dit", index_at = path + "/model_index.json";
  tiny::write_folder(path, pipeline_files(dit_model()));
  const Json good = read_json(index_at);
  const auto with = [&](const std::function<void(Json&)>& change) {
    Json index = good;
    change(index);
    write_file_atomically(index_at, index.dump());
  };
  const auto refused = [&](const std::function<void(Json&)>& change) {
    with(change);
    return error_of([&] { read_pipeline(path); });
  };
  with([](Json& index) { index.erase("id2label"); });
  CHECK(read_pipeline(path).classes == std::vector<std::string>{"0", "1", "2"});
  CHECK_THAT(refused([](Json& index) {
               index["vae"] = Json::array({"diffusers", "AutoencoderKL"});
             }),
             testing::contains_text("'vae'"));
  CHECK_THAT(refused([](Json& index) { index["id2label"].erase("2"); }),
             testing::contains_text("id2label") && testing::contains_text("3 classes"));
  CHECK_THAT(refused([](Json& index) {
               index["id2label"].erase("2");
               index["id2label"]["7"] = "hen";
             }),
             testing::contains_text("'2'"));
  CHECK_THAT(refused([](Json& index) { index["id2label"]["2"] = "cat"; }), testing::contains_text("twice"));
  CHECK_THAT(refused([](Json& index) { index.erase("transformer"); }), testing::contains_text("transformer"));
}

TEST_CASE("a DiT whose parts do not fit is refused by what is wrong") {
  const auto changed = [](const std::function<void(PictureModel&)>& change) {
    PictureModel model = dit_model();
    change(model);
    return error_of([&] { pipeline_files(model); });
  };
  CHECK_THAT(changed([](auto& m) { m.classes = {"cat"}; }),
             testing::contains_text("1 names") && testing::contains_text("num_embeds_ada_norm"));
  CHECK_THAT(changed([](auto& m) { m.dit->out_channels = 2; }), testing::contains_text("variance"));
  CHECK_THAT(changed([](auto& m) { m.dit->patch_size = 3; }), testing::contains_text("patch_size"));
  CHECK_THAT(changed([](auto& m) { m.transformer_tensors.pop_back(); }), testing::contains_text("tensors"));
  CHECK_THAT(changed([](auto& m) { m.transformer_tensors[0].shape[0] = 5; }),
             testing::contains_text("pos_embed.proj.weight"));
}

}  // namespace
}  // namespace lathe
