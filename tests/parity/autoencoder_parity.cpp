// AutoencoderKL beside diffusers: moments, decoded pictures, every gradient, and a mutation of each config
// field that changes no shape, which must be seen. Those that tests/peers/check_unets.py draws: set
// LATHE_DRAWN_AUTOENCODERS to their folder.

#include "models/diffusion/autoencoder_kl.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>

#include "tests/catch.h"
#include "tests/parity/diffusion_golden.h"

using namespace lathe;

namespace {

std::map<std::string, at::Tensor> run(const DiffusionGolden& golden, const AutoencoderKL& model) {
  const LatentMoments moments = model.encode(golden.tensor("pictures"));
  return {{"mean", moments.mean},
          {"log_variance", moments.log_variance},
          {"decoded", model.decode(golden.tensor("latents"))}};
}

void check_autoencoder(const DiffusionGolden& golden, double tolerance) {
  const AutoencoderSpec spec = read_autoencoder(golden.config, golden.folder);
  AutoencoderKL model(spec, at::kFloat);
  golden.load(model, autoencoder_parameters(spec));
  golden.check_gradients(model, run(golden, model), tolerance);
  // The config that we write describes the same network.
  const Json again = autoencoder_config(spec);
  CHECK(autoencoder_config(read_autoencoder(again, "again")) == again);
}

}  // namespace

TEST_CASE("the autoencoder equals diffusers' AutoencoderKL, outputs and gradients") {
  for (const char* name : {"autoencoder", "autoencoder_plain"}) {
    INFO(name);
    check_autoencoder(DiffusionGolden(name), golden::kTolerance);
  }
}

TEST_CASE("an autoencoder's attention is read by its old names") {
  std::vector<BundleTensor> tensors(4);
  tensors[0].name = "encoder.mid_block.attentions.0.query.weight";
  tensors[1].name = "decoder.mid_block.attentions.0.key.bias";
  tensors[2].name = "decoder.mid_block.attentions.0.proj_attn.weight";
  tensors[3].name = "decoder.mid_block.attentions.0.to_v.weight";
  rename_old_attention(tensors);
  CHECK(tensors[0].name == "encoder.mid_block.attentions.0.to_q.weight");
  CHECK(tensors[1].name == "decoder.mid_block.attentions.0.to_k.bias");
  CHECK(tensors[2].name == "decoder.mid_block.attentions.0.to_out.0.weight");
  CHECK(tensors[3].name == "decoder.mid_block.attentions.0.to_v.weight");
}

TEST_CASE("fields of the autoencoder that change no shape are seen") {
  const DiffusionGolden golden("autoencoder");
  AutoencoderSpec spec = read_autoencoder(golden.config, golden.folder);
  spec.norm_num_groups = 4;
  AutoencoderKL model(spec, at::kFloat);
  golden.load(model, autoencoder_parameters(spec));
  const at::NoGradGuard no_grad;
  for (const auto& [name, value] : run(golden, model)) {
    INFO(name);
    CHECK(golden::error_of(value, golden.tensor("output." + name)) > 100 * golden::kTolerance);
  }
}

TEST_CASE("what a network sees of latents is shifted and scaled, and comes back") {
  const DiffusionGolden golden("autoencoder_plain");
  const AutoencoderKL model(read_autoencoder(golden.config, golden.folder), at::kFloat);
  const at::Tensor latents = at::tensor({0.1F, 1.1F}), seen = model.scaled(latents);
  CHECK(golden::error_of(seen, at::tensor({0.0F, 0.3F})) < 1e-6);
  CHECK(golden::error_of(model.unscaled(seen), latents) < 1e-6);
  CHECK_THROWS_WITH(model.encode(at::randn({1, 1, 6, 8})), testing::contains_text("multiples of 4"));
}

TEST_CASE("configs of autoencoders that cannot be honoured are refused by field") {
  const Json good = DiffusionGolden("autoencoder").config;
  const std::pair<const char*, Json> changes[] = {
      {"act_fn", "relu"},
      {"latents_mean", {0.5, 0.5}},
      {"down_block_types", {"DownEncoderBlock2D"}},
      {"up_block_types", {"UpDecoderBlock2D", "AttnUpDecoderBlock2D"}},
      {"block_out_channels", {4, 7}}};
  for (const auto& [field, value] : changes) {
    INFO(field);
    Json config = good;
    config[field] = value;
    CHECK_THROWS_WITH(read_autoencoder(config, "here"),
                      testing::contains_text(field) && Catch::Matchers::StartsWith("here"));
  }
}

TEST_CASE("drawn autoencoders are diffusers'", "[.][drawn_autoencoders]") {
  for_each_drawn("LATHE_DRAWN_AUTOENCODERS",
                 [](const DiffusionGolden& golden) { check_autoencoder(golden, 1e-4); });
}
