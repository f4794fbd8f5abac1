// UNets beside diffusers: outputs, every gradient, and a mutation of each config field that changes no shape,
// which must be seen. Those that tests/peers/check_unets.py draws: set LATHE_DRAWN_UNETS to their folder.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <functional>

#include "models/diffusion/unet_2d.h"
#include "tests/catch.h"
#include "tests/parity/diffusion_golden.h"

using namespace lathe;

namespace {

at::Tensor run(const DiffusionGolden& golden, const UNet2D& model) {
  const auto given = [&](const char* name) {
    return golden.file.contains(name) ? golden.tensor(name) : at::Tensor();
  };
  return model.forward(golden.tensor("pictures"), golden.tensor("times"), given("classes"), given("tokens"));
}

UNet2DSpec read_spec(const Json& config, const std::string& where) {
  return config["_class_name"] == "UNet2DModel" ? read_unet_2d(config, where)
                                                : read_unet_2d_condition(config, where);
}

void check_unet(const DiffusionGolden& golden, double tolerance) {
  const UNet2DSpec spec = read_spec(golden.config, golden.folder);
  UNet2D model(spec, at::kFloat);
  golden.load(model, unet_2d_parameters(spec));
  golden.check_gradients(model, {{"sample", run(golden, model)}}, tolerance);
  // The config that we write describes the same network.
  const Json again = unet_2d_config(spec);
  CHECK(unet_2d_config(read_spec(again, "again")) == again);
}

}  // namespace

TEST_CASE("the UNet equals diffusers' UNet2DModel, outputs and gradients") {
  for (const char* name : {"unet_classes", "unet_ddpm", "unet_plain"}) {
    INFO(name);
    check_unet(DiffusionGolden(name), golden::kTolerance);
  }
}

TEST_CASE("the UNet equals diffusers' UNet2DConditionModel, outputs and gradients") {
  // diffusers itself, in fp32, is 1.7e-4 from its fp64 on gradients of the second: widths of 4 before norms.
  const std::pair<const char*, double> models[] = {{"unet_text", golden::kTolerance},
                                                   {"unet_text_linear", 3e-4},
                                                   {"unet_text_no_middle", golden::kTolerance}};
  for (const auto& [name, tolerance] : models) {
    INFO(name);
    check_unet(DiffusionGolden(name), tolerance);
  }
}

TEST_CASE("fields of the UNet that change no shape are seen") {
  using Mutation = std::pair<const char*, std::function<void(UNet2DSpec&)>>;
  const auto check = [](const char* name, const std::vector<Mutation>& mutations) {
    const DiffusionGolden golden(name);
    const UNet2DSpec spec = read_spec(golden.config, golden.folder);
    for (const auto& [field, mutate] : mutations) {
      INFO(name << ": " << field);
      UNet2DSpec changed = spec;
      mutate(changed);
      UNet2D model(changed, at::kFloat);
      golden.load(model, unet_2d_parameters(changed));
      const at::NoGradGuard no_grad;
      CHECK(golden::error_of(run(golden, model), golden.tensor("output.sample")) > 100 * golden::kTolerance);
    }
  };
  check("unet_ddpm", {{"attention_head_dim", [](UNet2DSpec& s) { s.attention_head_dim = 2; }},
                      {"norm_num_groups", [](UNet2DSpec& s) { s.norm_num_groups = 1; }},
                      {"norm_eps", [](UNet2DSpec& s) { s.norm_eps = 1e-5; }},
                      {"flip_sin_to_cos", [](UNet2DSpec& s) { s.flip_sin_to_cos = true; }},
                      {"freq_shift", [](UNet2DSpec& s) { s.freq_shift = 0; }},
                      {"center_input_sample", [](UNet2DSpec& s) { s.center_input_sample = false; }},
                      {"downsample_padding", [](UNet2DSpec& s) { s.downsample_padding = 1; }},
                      {"mid_block_scale_factor", [](UNet2DSpec& s) { s.mid_block_scale_factor = 1; }}});
  check("unet_text_linear",
        {{"attention_head_dim",
          [](UNet2DSpec& s) {
            s.cross->heads = {2, 3};
          }},
         {"attention_head_dim",
          [](UNet2DSpec& s) {
            s.cross->heads = {1, 2};
          }},
         {"norm_num_groups", [](UNet2DSpec& s) { s.norm_num_groups = 1; }},
         {"norm_eps", [](UNet2DSpec& s) { s.norm_eps = 1e-5; }},
         {"flip_sin_to_cos", [](UNet2DSpec& s) { s.flip_sin_to_cos = true; }},
         {"freq_shift", [](UNet2DSpec& s) { s.freq_shift = 0; }},
         {"center_input_sample", [](UNet2DSpec& s) { s.center_input_sample = false; }},
         {"downsample_padding", [](UNet2DSpec& s) { s.downsample_padding = 1; }},
         {"mid_block_scale_factor", [](UNet2DSpec& s) { s.mid_block_scale_factor = 1; }}});
  check("unet_classes", {{"attention_head_dim", [](UNet2DSpec& s) { s.attention_head_dim = 2; }}});
}

TEST_CASE("the class of a picture is seen, and asked for") {
  const DiffusionGolden golden("unet_classes");
  UNet2D model(read_unet_2d(golden.config, golden.folder), at::kFloat);
  golden.load(model, unet_2d_parameters(model.spec()));
  const at::NoGradGuard no_grad;
  const at::Tensor pictures = golden.tensor("pictures"), times = golden.tensor("times");
  CHECK(golden::error_of(model.forward(pictures, times, at::tensor({std::int64_t{0}, std::int64_t{2}})),
                         golden.tensor("output.sample")) > 100 * golden::kTolerance);
  CHECK_THROWS_WITH(model.forward(pictures, times, {}), testing::contains_text("class"));
  CHECK_THROWS_WITH(model.forward(at::randn({1, 3, 7, 4}), at::tensor({1.0F}), at::tensor({std::int64_t{0}})),
                    testing::contains_text("multiples of 2"));
}

TEST_CASE("configs of UNets that cannot be honoured are refused by field") {
  const Json good = DiffusionGolden("unet_classes").config;
  const std::pair<const char*, Json> changes[] = {{"time_embedding_type", "fourier"},
                                                  {"act_fn", "gelu"},
                                                  {"downsample_type", "resnet"},
                                                  {"upsample_type", "resnet"},
                                                  {"class_embed_type", "timestep"},
                                                  {"resnet_time_scale_shift", "scale_shift"},
                                                  {"attn_norm_num_groups", 1},
                                                  {"time_embedding_dim", 8},
                                                  {"block_out_channels", {4, 7}},
                                                  {"down_block_types", {"DownBlock2D", "SkipDownBlock2D"}},
                                                  {"attention_head_dim", 3},
                                                  {"sample_size", 9},
                                                  {"mid_block_type", "UNetMidBlock2DCrossAttn"},
                                                  {"mid_block_type", nullptr}};
  for (const auto& [field, value] : changes) {
    INFO(field);
    Json config = good;
    config[field] = value;
    CHECK_THROWS_WITH(read_unet_2d(config, "here"),
                      testing::contains_text(field) && Catch::Matchers::StartsWith("here"));
  }
}

TEST_CASE("the text of a picture is seen, and asked for") {
  const DiffusionGolden golden("unet_text");
  UNet2D model(read_spec(golden.config, golden.folder), at::kFloat);
  golden.load(model, unet_2d_parameters(model.spec()));
  const at::NoGradGuard no_grad;
  const at::Tensor pictures = golden.tensor("pictures"), times = golden.tensor("times");
  CHECK(golden::error_of(model.forward(pictures, times, {}, golden.tensor("tokens").flip({0})),
                         golden.tensor("output.sample")) > 100 * golden::kTolerance);
  CHECK_THROWS_WITH(model.forward(pictures, times, {}), testing::contains_text("reads texts"));
  CHECK_THROWS_WITH(model.forward(pictures, times, {}, at::randn({2, 5, 7})),
                    testing::contains_text("tokens of 6 channels"));
}

TEST_CASE("configs of UNets that read a text and cannot be honoured are refused by field") {
  const Json good = DiffusionGolden("unet_text_linear").config;
  const std::pair<const char*, Json> changes[] = {{"addition_embed_type", "text_time"},
                                                  {"class_embed_type", "timestep"},
                                                  {"num_class_embeds", 7},
                                                  {"only_cross_attention", true},
                                                  {"dual_cross_attention", true},
                                                  {"transformer_layers_per_block", {1, 2}},
                                                  {"cross_attention_dim", {5, 5}},
                                                  {"attention_head_dim", {1, 4}},
                                                  {"attention_head_dim", {1, 3, 3}},
                                                  {"num_attention_heads", 2},
                                                  {"encoder_hid_dim", 8},
                                                  {"encoder_hid_dim_type", "text_proj"},
                                                  {"time_cond_proj_dim", 8},
                                                  {"projection_class_embeddings_input_dim", 8},
                                                  {"conv_in_kernel", 1},
                                                  {"conv_out_kernel", 5},
                                                  {"resnet_out_scale_factor", 0.5},
                                                  {"resnet_skip_time_act", true},
                                                  {"timestep_post_act", "silu"},
                                                  {"attention_type", "gated"},
                                                  {"mid_block_type", "UNetMidBlock2D"},
                                                  {"layers_per_block", {1, 2}},
                                                  {"down_block_types", {"AttnDownBlock2D", "DownBlock2D"}},
                                                  {"_class_name", "UNet2DModel"}};
  for (const auto& [field, value] : changes) {
    INFO(field);
    Json config = good;
    config[field] = value;
    CHECK_THROWS_WITH(read_unet_2d_condition(config, "here"),
                      testing::contains_text(field) && Catch::Matchers::StartsWith("here"));
  }
}

TEST_CASE("a fresh UNet says zero and remembers its channels-last layout in bf16") {
  UNet2DSpec spec;
  spec.num_class_embeds = 3;
  UNet2D model(spec, at::kBFloat16);
  model.initialise(7);
  const at::Tensor output = model.forward(at::randn({2, 3, 16, 24}), at::tensor({10.0F, 900.0F}),
                                          at::tensor({std::int64_t{0}, std::int64_t{2}}));
  CHECK(output.sizes().vec() == std::vector<std::int64_t>{2, 3, 16, 24});
  CHECK(output.abs().max().item<double>() == 0);
  CHECK(output.is_contiguous(at::MemoryFormat::ChannelsLast));
  output.sum().backward();
  for (const auto& item : model.named_parameters()) {
    INFO(item.name);
    REQUIRE(item.tensor.grad().defined());
    CHECK(item.tensor.grad().is_contiguous());
  }
}

TEST_CASE("drawn UNets are diffusers'", "[.][drawn_unets]") {
  for_each_drawn("LATHE_DRAWN_UNETS", [](const DiffusionGolden& golden) { check_unet(golden, 1e-4); });
}
