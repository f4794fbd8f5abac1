// Adapters of a text-to-picture model: what they stand on, and that merged weights draw what the adapted
// model draws.
#include "models/adapters/pictures.h"

#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/rand_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "models/adapters/attach.h"
#include "models/decoder/weights.h"
#include "tests/catch.h"
#include "tests/unit/checkpoints/tiny_pipeline.h"

using namespace lathe;

namespace {

AdapterSpec spec_of(AdapterKind kind, std::vector<std::string> targets = {"all-linear"}) {
  AdapterSpec spec;
  spec.kind = kind;
  spec.rank = 4;
  spec.alpha = 6;
  spec.targets = std::move(targets);
  return spec;
}

// Every factor random, zero-initialised ones too; gives the adapter as a folder would hold it.
PeftAdapter randomise(TextToPicture& model, AdapterKind kind) {
  const at::NoGradGuard no_grad;
  at::manual_seed(5);
  PeftAdapter adapter;
  adapter.kind = kind == AdapterKind::Dora ? "dora" : "lora";
  adapter.rank = 4;
  adapter.alpha = 6;
  const auto take = [&](Module& module, const std::string& prefix) {
    for (auto& item : module.named_parameters()) {
      if (item.name.find(".lora_") == std::string::npos) continue;
      if (item.name.find("lora_B") != std::string::npos) item.tensor.normal_(0, 0.2);
      if (item.name.find("magnitude") != std::string::npos)
        item.tensor.mul_(at::rand_like(item.tensor) + 0.5);
      adapter.tensors.push_back(from_tensor(prefix + item.name, item.tensor));
    }
  };
  take(*model.transformer, kTransformerPart);
  take(*model.text_encoder, kTextEncoderPart);
  return adapter;
}

at::Tensor drawn(const TextToPicture& model) {
  return draw_pictures(model, {"a red circle", "a blue square"}, {1, 2}, {.steps = 3, .guidance = 2});
}

// Relative to the largest value above 1: a random network draws what it likes.
double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(1.0, b.abs().max().item<double>());
}

}  // namespace

TEST_CASE("merged weights draw what the adapted model draws, with and without the text encoder") {
  const PictureModel base = tiny::picture_model();
  for (const auto kind : {AdapterKind::Lora, AdapterKind::Dora})
    for (const bool text : {false, true}) {
      TextToPicture model = build_picture_model(base, at::kFloat);
      const at::Tensor before = drawn(model);
      const auto adapted = attach_adapters(model, spec_of(kind), text, 3);
      // 14 in the first block, 11 in the last, where the text has no MLP and no output; 6 a layer of the
      // encoder.
      CHECK(adapted.size() == 25 + (text ? 12 : 0));
      CHECK(difference(drawn(model), before) < 1e-4);
      const PeftAdapter adapter = randomise(model, kind);
      const at::Tensor wanted = drawn(model);
      CHECK(difference(wanted, before) > 0.05);
      CHECK(difference(drawn(build_picture_model(merge_adapter(base, adapter), at::kFloat)), wanted) < 1e-4);
    }
}

TEST_CASE("only the adapters are trained; targets name layers of a block") {
  TextToPicture model = build_picture_model(tiny::picture_model(), at::kFloat);
  const auto adapted =
      attach_adapters(model, spec_of(AdapterKind::Lora, {"to_out.0", "attn.to_q"}), false, 3);
  CHECK(adapted == std::vector<std::string>{"transformer.transformer_blocks.0.attn.to_q",
                                            "transformer.transformer_blocks.0.attn.to_out.0",
                                            "transformer.transformer_blocks.1.attn.to_q",
                                            "transformer.transformer_blocks.1.attn.to_out.0"});
  for (auto* module :
       {static_cast<Module*>(model.transformer.get()), static_cast<Module*>(model.text_encoder.get())})
    for (auto& item : module->named_parameters())
      CHECK(item.tensor.requires_grad() == (item.name.find(".lora_") != std::string::npos));
  TextToPicture other = build_picture_model(tiny::picture_model(), at::kFloat);
  CHECK_THROWS_WITH(attach_adapters(other, spec_of(AdapterKind::Lora, {"c_attn"}), false, 3),
                    testing::contains_text("'c_attn' is no linear layer") &&
                        testing::contains_text("to_out.0") && testing::contains_text("net.2"));
}

TEST_CASE("an adapter that changes nothing is refused") {
  const PictureModel base = tiny::picture_model();
  TextToPicture model = build_picture_model(base, at::kFloat);
  attach_adapters(model, spec_of(AdapterKind::Lora), false, 3);
  PeftAdapter adapter = randomise(model, AdapterKind::Lora);
  for (BundleTensor& tensor : adapter.tensors)
    if (tensor.name.ends_with("lora_B.weight")) tensor = from_tensor(tensor.name, at::zeros(tensor.shape));
  CHECK_THROWS_WITH(merge_adapter(base, adapter), testing::contains_text("changes nothing"));
}
