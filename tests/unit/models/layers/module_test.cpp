#include "models/layers/module.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "tests/catch.h"
#include "tests/complaints.h"

namespace lathe {
namespace {

struct Part : Module {
  explicit Part(double value) { weight = register_parameter("weight", at::ones({2}) * value); }
  void renew() { weight = replace_parameter("weight", at::zeros({3})); }
  at::Tensor weight;
};

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const auto& item : module.named_parameters()) names.push_back(item.name);
  return names;
}

}  // namespace

TEST_CASE("parameters are named by their path, a module's own before those of its parts") {
  Module root;
  register_at(root, "blocks.0.up", std::make_shared<Part>(1));
  const auto down = register_at(root, "blocks.0.down", std::make_shared<Part>(2));
  root.register_parameter("scale", at::ones({1}), /*requires_grad=*/false);
  CHECK(names_of(root) == std::vector<std::string>{"scale", "blocks.0.up.weight", "blocks.0.down.weight"});
  const NamedParameters parameters = root.named_parameters();
  CHECK_FALSE(parameters["scale"].requires_grad());
  CHECK(parameters["blocks.0.up.weight"].requires_grad());
  CHECK(parameters["blocks.0.down.weight"].is_same(down->weight));
  CHECK(parameters.find("blocks.0") == nullptr);
  CHECK(root.parameters().size() == 3);
  std::vector<std::string> modules;
  for (const auto& [path, part] : root.named_modules()) modules.push_back(path);
  CHECK(modules == std::vector<std::string>{"blocks", "blocks.0", "blocks.0.up", "blocks.0.down"});
  down->renew();
  CHECK(root.named_parameters()["blocks.0.down.weight"].size(0) == 3);
}

TEST_CASE("a name holds one thing") {
  Module root;
  register_at(root, "a.b", std::make_shared<Part>(1));
  CHECK_THROWS_WITH(register_at(root, "a.b", std::make_shared<Part>(1)), testing::contains_text("'b'"));
  CHECK_THROWS_WITH(root.register_parameter("a", at::ones({1})), testing::contains_text("'a'"));
  CHECK_THROWS_WITH(root.register_module("", std::make_shared<Part>(1)), testing::contains_text("''"));
  CHECK_THROWS_WITH(root.named_parameters()["absent"], testing::contains_text("'absent'"));
}

}  // namespace lathe
