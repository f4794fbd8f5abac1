// Diffusion networks beside diffusers and transformers (scripts/make_diffusion_goldens.py): outputs, every
// gradient, and a mutation of each config field that changes no shape, which must be seen.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <functional>

#include "models/diffusion/joint_transformer.h"
#include "models/text_encoders/clip_text.h"
#include "tests/catch.h"
#include "tests/parity/diffusion_golden.h"

using namespace lathe;

namespace {

at::Tensor run(const DiffusionGolden& golden, JointTransformer& model) {
  return model.forward(golden.tensor("pictures"), golden.tensor("times"),
                       {golden.tensor("tokens"), golden.tensor("pooled")});
}

void check_joint_golden(const DiffusionGolden& golden, double tolerance) {
  const JointTransformerSpec spec = read_joint_transformer(golden.config, golden.folder);
  JointTransformer model(spec, at::kFloat);
  golden.load(model, joint_transformer_parameters(spec));
  golden.check_gradients(model, {{"sample", run(golden, model)}}, tolerance);
  // The config that we write describes the same network.
  const Json again = joint_transformer_config(spec);
  CHECK(joint_transformer_config(read_joint_transformer(again, "again")) == again);
}

void check_clip_golden(const DiffusionGolden& golden, double tolerance) {
  const ClipTextSpec spec = read_clip_text(golden.config, golden.folder);
  ClipText model(spec, at::kFloat);
  golden.load(model, clip_text_parameters(spec));
  const ClipTextOutput output = model.forward(golden.tensor("ids"));
  golden.check_gradients(
      model, {{"last", output.last}, {"penultimate", output.penultimate}, {"pooled", output.pooled}},
      tolerance);
  const Json again = clip_text_config(spec);
  CHECK(clip_text_config(read_clip_text(again, "again")) == again);
}

}  // namespace

TEST_CASE("the joint transformer equals diffusers' SD3Transformer2DModel, outputs and gradients") {
  for (const char* name : {"sd3", "sd3_qk_norm"}) {
    INFO(name);
    check_joint_golden(DiffusionGolden(name), golden::kTolerance);
  }
}

TEST_CASE("drawn joint transformers are diffusers'", "[.][drawn_joints]") {
  for_each_drawn("LATHE_DRAWN_JOINTS",
                 [](const DiffusionGolden& golden) { check_joint_golden(golden, 1e-4); });
}
TEST_CASE("drawn text encoders are transformers'", "[.][drawn_clips]") {
  for_each_drawn("LATHE_DRAWN_CLIPS", [](const DiffusionGolden& golden) { check_clip_golden(golden, 1e-4); });
}

TEST_CASE("fields of the joint transformer that change no shape are seen") {
  const DiffusionGolden golden("sd3_qk_norm");
  const JointTransformerSpec spec = read_joint_transformer(golden.config, golden.folder);
  const at::Tensor wanted = golden.tensor("output.sample");
  const auto moved = [&](const JointTransformerSpec& changed) {
    JointTransformer model(changed, at::kFloat);
    golden.load(model, joint_transformer_parameters(changed));
    const at::NoGradGuard no_grad;
    return golden::error_of(run(golden, model), wanted);
  };
  JointTransformerSpec changed = spec;
  changed.sample_size = 8;
  CHECK(moved(changed) > 100 * golden::kTolerance);
  changed = spec;
  changed.pos_embed_max_size = 11;
  CHECK(moved(changed) > 100 * golden::kTolerance);
  const DiffusionGolden bare("sd3");  // as wide, in other heads (with norms of them the shapes would change)
  changed = read_joint_transformer(bare.config, bare.folder);
  changed.num_heads *= 2;
  changed.head_size /= 2;
  JointTransformer model(changed, at::kFloat);
  bare.load(model, joint_transformer_parameters(changed));
  const at::NoGradGuard no_grad;
  CHECK(golden::error_of(run(bare, model), bare.tensor("output.sample")) > 100 * golden::kTolerance);
}

TEST_CASE("CLIP's text encoder equals transformers', outputs and gradients") {
  for (const char* name : {"clip", "clip_gelu_old_end"}) {
    INFO(name);
    check_clip_golden(DiffusionGolden(name), golden::kTolerance);
  }
}

TEST_CASE("fields of CLIP's text encoder that change no shape are seen") {
  const DiffusionGolden golden("clip");
  const ClipTextSpec spec = read_clip_text(golden.config, golden.folder);
  const std::pair<const char*, std::function<void(ClipTextSpec&)>> mutations[] = {
      {"heads", [](ClipTextSpec& s) { s.num_heads = 4; }},
      {"activation", [](ClipTextSpec& s) { s.activation = ClipActivation::Gelu; }},
      {"eps", [](ClipTextSpec& s) { s.norm_eps = 0.1; }},
      {"end of text", [](ClipTextSpec& s) { s.eos_token_id = 37; }},
  };
  for (const auto& [name, mutate] : mutations) {
    INFO(name);
    ClipTextSpec changed = spec;
    mutate(changed);
    ClipText model(changed, at::kFloat);
    golden.load(model, clip_text_parameters(changed));
    const at::NoGradGuard no_grad;
    CHECK(golden::error_of(model.forward(golden.tensor("ids")).pooled, golden.tensor("output.pooled")) >
          100 * golden::kTolerance);
  }
}

TEST_CASE("configs of diffusion networks that cannot be honoured are refused by field") {
  Json config = DiffusionGolden("sd3").config;
  config["dual_attention_layers"] = {0};
  CHECK_THROWS_WITH(read_joint_transformer(config, "here"),
                    lathe::testing::contains_text("dual_attention_layers"));
  config = DiffusionGolden("sd3").config;
  config["qk_norm"] = "layer_norm";
  CHECK_THROWS_WITH(read_joint_transformer(config, "here"), lathe::testing::contains_text("qk_norm"));
  config = DiffusionGolden("sd3").config;
  config["caption_projection_dim"] = 16;
  CHECK_THROWS_WITH(read_joint_transformer(config, "here"),
                    lathe::testing::contains_text("caption_projection_dim"));
  config = DiffusionGolden("clip").config;
  config["hidden_act"] = "relu";
  CHECK_THROWS_WITH(read_clip_text(config, "here"), lathe::testing::contains_text("hidden_act"));
}

TEST_CASE("a fresh joint transformer says zero, whatever it sees, and the same for every thread count") {
  JointTransformerSpec spec;
  spec.num_layers = 2;
  JointTransformer model(spec, at::kFloat);
  model.initialise(7);
  const at::NoGradGuard no_grad;
  const at::Tensor output = model.forward(
      at::randn({2, 3, 16, 16}), at::tensor({10.0f, 900.0f}),
      {at::randn({2, 5, spec.joint_attention_dim}), at::randn({2, spec.pooled_projection_dim})});
  CHECK(output.sizes().vec() == std::vector<std::int64_t>{2, 3, 16, 16});
  CHECK(output.abs().max().item<double>() == 0);
  CHECK_THROWS_WITH(model.forward(at::randn({1, 3, 18, 16}), at::tensor({1.0f}),
                                  {at::randn({1, 5, 128}), at::randn({1, 128})}),
                    lathe::testing::contains_text("whole number of patches"));
  CHECK_THROWS_WITH(model.forward(at::randn({1, 3, 32, 16}), at::tensor({1.0f}),
                                  {at::randn({1, 5, 128}), at::randn({1, 128})}),
                    lathe::testing::contains_text("does not fit the table"));
}
