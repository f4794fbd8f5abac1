// lathe doctor [--self-test]: what this machine is and what Lathe makes of it.
#include <ATen/core/Tensor.h>
#include <ATen/Context.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "models/diffusion/gaussian_mixture.h"
#include "models/objectives/causal_lm.h"
#include "trainer/cli/command.h"
#include "trainer/libraries.h"
#include "trainer/machine.h"
#include "trainer/report/metrics.h"

namespace lathe {

namespace {

double gigaflops(at::ScalarType type) {
  const at::Tensor a = at::ones({1024, 1024}, type), b = at::ones({1024, 1024}, type);
  at::mm(a, b);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) at::mm(a, b);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return 8 * 2 * 1024.0 * 1024 * 1024 / seconds / 1e9;
}

// The fused loss against the plain one, values and gradient, on numbers of its own.
double loss_error() {
  at::manual_seed(7);
  at::Tensor hidden = at::randn({64, 32}).requires_grad_(), weight = at::randn({96, 32}).requires_grad_();
  const at::Tensor targets = at::randint(0, 96, {64}, at::kLong);
  const at::Tensor plain =
      at::cross_entropy_loss(at::matmul(hidden, weight.t()), targets, {}, at::Reduction::Sum);
  plain.backward();
  const at::Tensor wanted = weight.grad().clone();
  weight.mutable_grad().reset();
  hidden.mutable_grad().reset();
  const at::Tensor fused = linear_cross_entropy(hidden, weight, targets);
  fused.backward();
  return std::max((fused - plain).abs().item<double>() / plain.item<double>(),
                  ((weight.grad() - wanted).abs().max() / wanted.abs().max()).item<double>());
}

// Of one kind: how many passed, and the names of those that did not. Returns whether all did.
template <typename Check>
bool say_checks(Context& context, const std::string& kind, const std::vector<Check>& checks) {
  Json failed = Json::array();
  for (const Check& check : checks)
    if (!check.passed()) failed.push_back(check.name);
  context.result["diffusion_" + kind] = Json{{"checked", checks.size()}, {"failed", failed}};
  context.say(cat("diffusion ", kind, " against the closed-form denoiser of a mixture of Gaussians: ",
                  checks.size() - failed.size(), " of ", checks.size(),
                  failed.empty() ? ", good" : cat(", WRONG: ", failed.dump())));
  return failed.empty();
}

void say_libraries(Context& context) {
  context.result["libraries"] = library_versions();
  std::string line;
  for (const auto& [name, version] : context.result["libraries"].items())
    line += cat(line.empty() ? "" : ", ", name, " ", version.get<std::string>());
  context.say("libraries: " + line);
}

void say_readers(Context& context) {
  const char* const path = std::getenv("PATH");
  context.result["readers"] = Json::array();
  for (const Reader& reader : find_readers(python_environments(), path ? path : "")) {
    context.result["readers"].push_back(
        Json{{"name", reader.name}, {"version", reader.version}, {"place", reader.place}});
    context.say(cat("reader: ", reader.name, reader.version.empty() ? "" : " " + reader.version, " in ",
                    reader.place));
  }
  if (context.result["readers"].empty())
    context.say("reader: none found; scripts/test --peers makes an environment with the Python ones");
}

ExitCode doctor(Context& context, bool self_test) {
  set_compute_threads(resolve_threads(0));
  context.result = machine_description();
  const auto disk = std::filesystem::space(".");
  context.result["disk_free"] = disk.available;
  context.result["precision_auto"] = resolve_precision("auto");
  for (const auto& [key, value] : context.result.items())
    context.say(cat(key, ": ",
                    key == "memory_limit" || key == "disk_free" ? format_bytes(value.get<double>())
                    : value.is_string()                         ? value.get<std::string>()
                                                                : value.dump()));
  say_libraries(context);
  say_readers(context);
  if (!self_test) return ExitCode::Done;
  const double fp32 = gigaflops(at::kFloat), bf16 = gigaflops(at::kBFloat16), error = loss_error();
  context.result["gigaflops_fp32"] = fp32;
  context.result["gigaflops_bf16"] = bf16;
  context.result["fused_loss_error"] = error;
  context.say(
      cat("matrix products: fp32 ", std::round(fp32), " GFLOP/s, bf16 ", std::round(bf16), " GFLOP/s"));
  context.say(
      cat("fused loss against the plain one: relative error ", error, error < 1e-5 ? ", good" : ", WRONG"));
  const bool objectives = say_checks(context, "objectives", check_objectives());
  const bool samplers = say_checks(context, "samplers", check_samplers());
  return error < 1e-5 && objectives && samplers ? ExitCode::Done : ExitCode::Failed;
}

}  // namespace

void add_doctor(const Command& program) {
  const Command command =
      program.command("doctor", "compiler, libraries, processor, memory, disk, readers of exports");
  auto self_test = std::make_shared<bool>(false);
  command.flag("--self-test", *self_test, "measure and check the arithmetic");
  command.runs([=](Context& context) { return doctor(context, *self_test); });
}

}  // namespace lathe
