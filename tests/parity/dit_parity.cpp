// DiTs beside diffusers: outputs, every gradient, and a mutation of each config field that changes no shape,
// which must be seen. Those that tests/peers/check_dits.py draws: set LATHE_DRAWN_DITS to their folder.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <functional>
#include <memory>

#include "models/diffusion/dit.h"
#include "tests/catch.h"
#include "tests/parity/diffusion_golden.h"

using namespace lathe;

namespace {

at::Tensor run(const DiffusionGolden& golden, const DiT& model) {
  return model.forward(golden.tensor("pictures"), golden.tensor("times"), golden.tensor("classes"));
}

void check_dit_golden(const DiffusionGolden& golden, double tolerance) {
  const DiTSpec spec = read_dit(golden.config, golden.folder);
  DiT model(spec, at::kFloat);
  golden.load(model, dit_parameters(spec));
  golden.check_gradients(model, {{"sample", run(golden, model)}}, tolerance);
  const at::NoGradGuard no_grad;  // of another size than it was made for
  CHECK(golden::error_of(
            model.forward(golden.tensor("larger"), golden.tensor("times"), golden.tensor("classes")),
            golden.tensor("wanted.larger")) < tolerance);
  // The config that we write describes the same network.
  const Json again = dit_config(spec);
  CHECK(dit_config(read_dit(again, "again")) == again);
}

std::unique_ptr<DiT> loaded(const DiffusionGolden& golden, const DiTSpec& spec) {
  auto model = std::make_unique<DiT>(spec, at::kFloat);
  golden.load(*model, dit_parameters(spec));
  return model;
}

}  // namespace

TEST_CASE("the DiT equals diffusers' DiTTransformer2DModel, outputs and gradients") {
  for (const char* name : {"dit", "dit_bare"}) {
    INFO(name);
    check_dit_golden(DiffusionGolden(name), golden::kTolerance);
  }
}

TEST_CASE("fields of the DiT that change no shape are seen") {
  using Mutation = std::pair<const char*, std::function<void(DiTSpec&)>>;
  const auto check = [](const char* name, const std::vector<Mutation>& mutations) {
    const DiffusionGolden golden(name);
    const DiTSpec spec = read_dit(golden.config, golden.folder);
    for (const auto& [field, mutate] : mutations) {
      INFO(name << ": " << field);
      DiTSpec changed = spec;
      mutate(changed);
      const auto model = loaded(golden, changed);
      const at::NoGradGuard no_grad;
      CHECK(golden::error_of(run(golden, *model), golden.tensor("output.sample")) > 100 * golden::kTolerance);
    }
  };
  check("dit_bare", {{"norm_eps", [](DiTSpec& s) { s.norm_eps = 1e-5; }},
                     {"sample_size", [](DiTSpec& s) { s.sample_size = 8; }},
                     {"num_attention_heads", [](DiTSpec& s) { s.num_heads = 4, s.head_size = 3; }}});
  check("dit", {{"num_attention_heads", [](DiTSpec& s) { s.num_heads = 1, s.head_size = 12; }}});
}

TEST_CASE("time and class of a picture are seen, and asked for") {
  const DiffusionGolden golden("dit");
  const auto model = loaded(golden, read_dit(golden.config, golden.folder));
  const at::NoGradGuard no_grad;
  const at::Tensor pictures = golden.tensor("pictures"), times = golden.tensor("times"),
                   wanted = golden.tensor("output.sample");
  const auto far = [&](const at::Tensor& at, const at::Tensor& classes) {
    return golden::error_of(model->forward(pictures, at, classes), wanted) > 100 * golden::kTolerance;
  };
  CHECK(far(times, at::tensor({std::int64_t{0}, std::int64_t{5}})));
  CHECK(far(times, at::tensor({std::int64_t{1}, std::int64_t{4}})));
  CHECK(far(times + 100, golden.tensor("classes")));
  CHECK_THROWS_WITH(model->forward(pictures, times, {}), testing::contains_text("class"));
  const at::Tensor one = at::tensor({1.0F}), first = at::tensor({std::int64_t{0}});
  CHECK_THROWS_WITH(model->forward(at::randn({1, 3, 7, 7}), one, first),
                    testing::contains_text("patches of 2"));
  CHECK_THROWS_WITH(model->forward(at::randn({1, 3, 8, 6}), one, first), testing::contains_text("square"));
}

TEST_CASE("configs of DiTs that cannot be honoured are refused by field") {
  const Json good = DiffusionGolden("dit").config;
  const std::pair<const char*, Json> changes[] = {{"norm_type", "ada_norm_single"},
                                                  {"activation_fn", "geglu"},
                                                  {"norm_elementwise_affine", true},
                                                  {"num_embeds_ada_norm", nullptr},
                                                  {"num_embeds_ada_norm", 0},
                                                  {"cross_attention_dim", 8},
                                                  {"sample_size", 9},
                                                  {"attention_head_dim", 5},
                                                  {"patch_size", 0},
                                                  {"norm_eps", -1}};
  for (const auto& [field, value] : changes) {
    INFO(field);
    Json config = good;
    config[field] = value;
    CHECK_THROWS_WITH(read_dit(config, "here"),
                      testing::contains_text(field) && Catch::Matchers::StartsWith("here"));
  }
  Json older = good;
  older["_class_name"] = "Transformer2DModel";
  CHECK(dit_config(read_dit(older, "here")) == dit_config(read_dit(good, "here")));
  for (const char* field : {"norm_type", "activation_fn", "norm_elementwise_affine", "patch_size"}) {
    INFO(field);  // what an older folder leaves out is not what a DiT has
    Json config = older;
    config.erase(field);
    CHECK_THROWS_WITH(read_dit(config, "here"), testing::contains_text(field));
  }
}

TEST_CASE("a fresh DiT says zero in bf16 and every gradient of its end is there") {
  DiTSpec spec;
  spec.num_layers = 2;
  DiT model(spec, at::kBFloat16);
  model.initialise(7);
  const at::Tensor classes = at::tensor({std::int64_t{0}, spec.num_classes});
  const at::Tensor output = model.forward(at::randn({2, 3, 16, 16}), at::tensor({10.0F, 900.0F}), classes);
  CHECK(output.sizes().vec() == std::vector<std::int64_t>{2, 3, 16, 16});
  CHECK(output.abs().max().item<double>() == 0);
  output.sum().backward();
  for (const auto& item : model.named_parameters()) {
    INFO(item.name);
    REQUIRE(item.tensor.grad().defined());
  }
  CHECK(model.named_parameters()["proj_out_2.weight"].grad().abs().max().item<double>() > 0);
}

TEST_CASE("drawn DiTs are diffusers'", "[.][drawn_dits]") {
  for_each_drawn("LATHE_DRAWN_DITS", [](const DiffusionGolden& golden) { check_dit_golden(golden, 1e-4); });
}
