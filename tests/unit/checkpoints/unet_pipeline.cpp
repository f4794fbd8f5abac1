// The folder of a UNet: what diffusers will find in it, and what is refused when one is read.
#include <functional>

#include "checkpoints/diffusion/pipeline.h"
#include "tests/unit/checkpoints/support.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

namespace lathe {
namespace {

PictureModel unet_model() {
  PictureModel model;
  UNet2DSpec spec;
  spec.sample_size = 8;
  spec.in_channels = spec.out_channels = 1;
  spec.block_out_channels = {4, 8};
  spec.layers_per_block = 1;
  spec.norm_num_groups = 2;
  spec.attention_head_dim = 4;
  spec.num_class_embeds = 4;
  model.unet = spec;
  model.classes = {"cat", "dog", "hen"};
  model.schedule.kind = NoiseKind::Cosine;
  model.prediction = Prediction::Velocity;
  model.unet_tensors = tiny::random_tensors(unet_2d_parameters(spec), 0);
  return model;
}

TEST_CASE("a UNet's files carry diffusers' names and are read back") {
  const PictureModel model = unet_model();
  std::map<std::string, CheckpointFile> files;
  for (const CheckpointFile& file : pipeline_files(model)) files.emplace(file.name, file);
  REQUIRE(files.size() == 5);
  const Json index = Json::parse(files.at("model_index.json").text);
  CHECK(index["_class_name"] == "DDPMPipeline");
  CHECK(index["unet"] == Json::array({"diffusers", "UNet2DModel"}));
  CHECK(index["scheduler"] == Json::array({"diffusers", "DDIMScheduler"}));
  CHECK(Json::parse(files.at("classes.json").text) == Json::array({"cat", "dog", "hen"}));
  const Json config = Json::parse(files.at("unet/config.json").text);
  CHECK(config["down_block_types"] == Json::array({"DownBlock2D", "AttnDownBlock2D"}));
  CHECK(config["up_block_types"] == Json::array({"AttnUpBlock2D", "UpBlock2D"}));
  CHECK(config["num_class_embeds"] == 4);

  const TemporaryFolder folder;
  const std::string path = folder / "unet";
  tiny::write_folder(path, pipeline_files(model));
  const PictureModel found = read_pipeline(path);
  REQUIRE(found.unet);
  CHECK(unet_2d_config(*found.unet) == unet_2d_config(*model.unet));
  CHECK(found.classes == model.classes);
  CHECK(found.prediction == Prediction::Velocity);
  CHECK(found.schedule.kind == NoiseKind::Cosine);
  REQUIRE(found.unet_tensors.size() == model.unet_tensors.size());
  for (std::size_t i = 0; i < found.unet_tensors.size(); ++i)
    CHECK(values_of(found.unet_tensors[i]) == values_of(model.unet_tensors[i]));

  std::filesystem::remove(path + "/classes.json");  // another program's: classes are numbers
  CHECK(read_pipeline(path).classes == std::vector<std::string>{"0", "1", "2", "3"});
}

TEST_CASE("a UNet whose parts do not fit is refused by what is wrong") {
  const auto changed = [](const std::function<void(PictureModel&)>& change) {
    PictureModel model = unet_model();
    change(model);
    return error_of([&] { pipeline_files(model); });
  };
  CHECK_THAT(changed([](auto& m) { m.classes = {"cat"}; }),
             testing::contains_text("1 names") && testing::contains_text("4 rows"));
  CHECK_THAT(changed([](auto& m) { m.classes = {"cat", "cat", "hen"}; }), testing::contains_text("twice"));
  CHECK_THAT(changed([](auto& m) { m.unet->out_channels = 2; }), testing::contains_text("out_channels"));
  CHECK_THAT(changed([](auto& m) { m.unet->norm_num_groups = 3; }),
             testing::contains_text("norm_num_groups"));
  CHECK_THAT(changed([](auto& m) { m.unet_tensors.pop_back(); }), testing::contains_text("tensors"));
  CHECK_THAT(changed([](auto& m) { m.unet_tensors[0].shape[0] = 5; }),
             testing::contains_text("conv_in.weight"));
}

}  // namespace
}  // namespace lathe
