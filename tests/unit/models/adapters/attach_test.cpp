#include "models/adapters/attach.h"

#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand_like.h>

#include <map>

#include "models/decoder/weights.h"
#include "models/objectives/causal_lm.h"
#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/unit/models/decoder/tiny.h"

using namespace lathe;
using Gradients = std::map<std::string, at::Tensor>;

namespace {

AdapterSpec spec_of(AdapterKind kind, std::vector<std::string> targets, double dropout = 0) {
  AdapterSpec spec;
  spec.kind = kind;
  spec.rank = 4;
  spec.alpha = 8;
  spec.dropout = dropout;
  spec.targets = std::move(targets);
  return spec;
}

void randomise_adapters(Decoder& decoder) {
  const at::NoGradGuard no_grad;
  at::manual_seed(31);
  for (auto& item : decoder.named_parameters()) {
    if (item.name.find("lora_B") != std::string::npos) item.tensor.normal_(0, 0.2);
    if (item.name.find("magnitude") != std::string::npos) item.tensor.mul_(at::rand_like(item.tensor) + 0.5);
  }
}

Batch two_rows() { return tiny::make_batch({{9, 14}, {20}}, 24, 61); }

at::Tensor logits_of(Decoder& decoder, const Batch& batch) {
  const at::NoGradGuard no_grad;
  return decoder.logits(decoder.forward(decoder_input(batch)));
}

// One step's gradients of every parameter that has one.
Gradients step(Decoder& decoder, const Batch& batch, const RunOptions& options) {
  for (at::Tensor& p : decoder.parameters()) p.mutable_grad() = at::Tensor();
  causal_lm_loss(decoder, batch, options).sum.backward();
  Gradients gradients;
  for (auto& item : decoder.named_parameters()) {
    if (item.tensor.grad().defined()) gradients[item.name] = item.tensor.grad().clone();
  }
  return gradients;
}

bool same_bits(const Gradients& a, const Gradients& b) {
  if (a.size() != b.size() || a.empty()) return false;
  for (const auto& [name, gradient] : a) {
    if (!b.contains(name) || !at::equal(gradient, b.at(name))) return false;
  }
  return true;
}

Bundle bundle_of(Decoder& decoder) {
  Bundle bundle;
  bundle.spec = decoder.spec();
  for (auto& item : decoder.named_parameters()) {
    if (item.name.find("lora_") == std::string::npos)
      bundle.tensors.push_back(from_tensor(item.name, item.tensor));
  }
  return bundle;
}

PeftAdapter adapter_of(Decoder& decoder, AdapterKind kind) {
  PeftAdapter adapter;
  adapter.kind = kind == AdapterKind::Dora ? "dora" : "lora";
  adapter.rank = 4;
  adapter.alpha = 8;
  for (auto& item : decoder.named_parameters()) {
    if (item.name.find("lora_") != std::string::npos)
      adapter.tensors.push_back(from_tensor(item.name, item.tensor));
  }
  return adapter;
}

}  // namespace

TEST_CASE(
    "a new adapter gives the base's logits, but for the rounding of products that are not fused with one") {
  const Batch batch = two_rows();
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec(), tiny::gemma_spec()}) {
      const auto base = tiny::random_decoder(spec, dtype), adapted = tiny::random_decoder(spec, dtype);
      attach_adapters(*adapted, spec_of(AdapterKind::Lora, {"all-linear"}), 3);
      const at::Tensor wanted = logits_of(*base, batch), found = logits_of(*adapted, batch);
      const double scale = wanted.abs().max().item<double>();
      CHECK(tiny::largest_difference(found, wanted) <= (dtype == at::kFloat ? 5e-6 : 0.05) * scale);
      randomise_adapters(*adapted);
      CHECK(tiny::largest_difference(logits_of(*adapted, batch), wanted) > 0.1 * scale);
    }
  }
}

TEST_CASE("only the adapters have gradients; all-linear is every Linear of the blocks and not the head") {
  for (const auto kind : {AdapterKind::Lora, AdapterKind::Dora}) {
    const auto decoder = tiny::random_decoder(tiny::llama_spec());
    const auto adapted = attach_adapters(*decoder, spec_of(kind, {"all-linear"}), 3);
    CHECK(adapted.size() == 7 * 3);
    randomise_adapters(*decoder);
    const Gradients gradients = step(*decoder, two_rows(), {.training = true});
    CHECK(gradients.size() == adapted.size() * (kind == AdapterKind::Dora ? 3 : 2));
    for (const auto& [name, gradient] : gradients) {
      INFO(name);
      CHECK(name.find(".lora_") != std::string::npos);
      CHECK(gradient.abs().max().item<float>() > 0);
    }
    for (auto& item : decoder->named_parameters())
      CHECK(item.tensor.requires_grad() == (item.name.find(".lora_") != std::string::npos));
  }
}

TEST_CASE("targets are last names or full names; initial values do not depend on them") {
  const auto decoder = tiny::random_decoder(tiny::llama_spec()),
             all = tiny::random_decoder(tiny::llama_spec());
  const auto adapted =
      attach_adapters(*decoder, spec_of(AdapterKind::Lora, {"v_proj", "layers.1.mlp.up_proj"}), 3);
  CHECK(adapted == std::vector<std::string>{"model.layers.0.self_attn.v_proj",
                                            "model.layers.1.self_attn.v_proj", "model.layers.1.mlp.up_proj",
                                            "model.layers.2.self_attn.v_proj"});
  attach_adapters(*all, spec_of(AdapterKind::Lora, {"all-linear"}), 3);
  const std::string name = "model.layers.1.mlp.up_proj.lora_A.weight";
  CHECK(at::equal(decoder->named_parameters()[name], all->named_parameters()[name]));
}

TEST_CASE("a target that is no linear layer is a usage error with the names there") {
  const auto decoder = tiny::random_decoder(tiny::llama_spec());
  CHECK_THROWS_WITH(attach_adapters(*decoder, spec_of(AdapterKind::Lora, {"q_proj", "c_attn"}), 3),
                    "adapter.targets: 'c_attn' is no linear layer of this model; it has down_proj, "
                    "gate_proj, k_proj, o_proj, "
                    "q_proj, up_proj, v_proj (or all-linear)");
  const auto other = tiny::random_decoder(tiny::llama_spec());
  CHECK_THROWS_WITH(attach_adapters(*other, spec_of(AdapterKind::Lora, {"lm_head"}), 3),
                    lathe::testing::contains_text("'lm_head'"));
}

TEST_CASE("dropout on the adapters' input: a function of seed and step, the same when blocks are run again") {
  const Batch batch = two_rows();
  for (const auto kind : {AdapterKind::Lora, AdapterKind::Dora}) {
    const auto decoder = tiny::random_decoder(tiny::llama_spec());
    attach_adapters(*decoder, spec_of(kind, {"all-linear"}, 0.3), 3);
    randomise_adapters(*decoder);
    const RunOptions options{.training = true, .seed = 5, .step = 2};
    const Gradients first = step(*decoder, batch, options);
    CHECK(same_bits(first, step(*decoder, batch, options)));
    RunOptions again = options;
    again.activation_checkpointing = true;
    CHECK(same_bits(first, step(*decoder, batch, again)));
    RunOptions later = options, seeded = options;
    later.step = 3;
    seeded.seed = 6;
    CHECK_FALSE(same_bits(first, step(*decoder, batch, later)));
    CHECK_FALSE(same_bits(first, step(*decoder, batch, seeded)));
    CHECK_FALSE(same_bits(first, step(*decoder, batch, {.training = false})));
    CHECK(at::equal(logits_of(*decoder, batch), logits_of(*decoder, batch)));
  }
}

TEST_CASE("a merged bundle gives the logits of base and adapter") {
  const Batch batch = two_rows();
  for (const auto kind : {AdapterKind::Lora, AdapterKind::Dora}) {
    for (const DecoderSpec& spec : {tiny::llama_spec(), tiny::gpt2_spec()}) {
      const auto decoder = tiny::random_decoder(spec);
      const Bundle base = bundle_of(*decoder);
      attach_adapters(*decoder, spec_of(kind, {"all-linear"}), 3);
      CHECK_THROWS_WITH(merge_adapter(base, adapter_of(*decoder, kind)),
                        lathe::testing::contains_text("changes nothing"));
      randomise_adapters(*decoder);
      const Bundle merged = merge_adapter(base, adapter_of(*decoder, kind));
      const at::Tensor wanted = logits_of(*decoder, batch);
      const double scale = wanted.abs().max().item<double>();
      CHECK(tiny::largest_difference(logits_of(*build_decoder(merged, at::kFloat), batch), wanted) <
            2e-5 * scale);
      CHECK(tiny::largest_difference(logits_of(*build_decoder(base, at::kFloat), batch), wanted) >
            1e-2 * scale);
    }
  }
}

TEST_CASE("a merge that rounding undoes is refused, and one changed element is enough to pass") {
  const auto decoder = tiny::random_decoder(tiny::llama_spec(), at::kBFloat16);
  const Bundle base = bundle_of(*decoder);
  attach_adapters(*decoder, spec_of(AdapterKind::Lora, {"down_proj"}), 3);
  const at::NoGradGuard no_grad;
  auto parameters = decoder->named_parameters();
  at::Tensor& b = parameters["model.layers.2.mlp.down_proj.lora_B.weight"];
  b.fill_(1e-9);
  const Bundle close = merge_adapter(base, adapter_of(*decoder, AdapterKind::Lora));
  CHECK_NOTHROW(require_visible_change(base, close, DType::F32));
  CHECK_THROWS_WITH(require_visible_change(base, close, DType::BF16),
                    lathe::testing::contains_text("equal the base's once rounded to BF16"));
  b[7].fill_(1);
  CHECK_NOTHROW(require_visible_change(base, merge_adapter(base, adapter_of(*decoder, AdapterKind::Lora)),
                                       DType::BF16));
}

TEST_CASE("an adapter that lacks a factor, or names a module that the base has not, is not merged") {
  const auto decoder = tiny::random_decoder(tiny::llama_spec());
  const Bundle base = bundle_of(*decoder);
  attach_adapters(*decoder, spec_of(AdapterKind::Dora, {"q_proj"}), 3);
  randomise_adapters(*decoder);
  const PeftAdapter whole = adapter_of(*decoder, AdapterKind::Dora);
  for (const auto& [part, text] :
       {std::pair{"lora_A", "lacks a factor"}, {"magnitude", "lacks its magnitudes"}}) {
    PeftAdapter cut = whole;
    std::erase_if(cut.tensors, [&](const BundleTensor& t) { return t.name.find(part) != std::string::npos; });
    CHECK_THROWS_WITH(merge_adapter(base, cut), lathe::testing::contains_text(text));
  }
  PeftAdapter elsewhere = whole;
  for (BundleTensor& t : elsewhere.tensors) {
    const auto found = t.name.find("layers.2");
    if (found != std::string::npos) t.name.replace(found, 8, "layers.9");
  }
  CHECK_THROWS_WITH(merge_adapter(base, elsewhere), "the adapter has 3 modules and the base only 2 of them");
}
