#include "models/adapters/attach.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/any.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/index_copy.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>
#include <set>

#include "models/decoder/weights.h"
#include "models/layers/convolution.h"
#include "models/layers/linear.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

std::string last_part(const std::string& name) { return name.substr(name.rfind('.') + 1); }

// As people name it: to_q, but to_out.0 and net.2, where a number alone says nothing.
std::string short_name(const std::string& name) {
  const std::string last = last_part(name);
  if (last.find_first_not_of("0123456789") != std::string::npos || last.size() == name.size()) return last;
  const std::string rest = name.substr(0, name.size() - last.size() - 1);
  return short_name(rest) + "." + last;
}

// A target is a module's own name, or the end of its full one. Convolutions are asked for by name.
bool matches(const std::string& name, const std::string& target, bool is_linear) {
  return (target == "all-linear" && is_linear) || last_part(name) == target || name == target ||
         name.ends_with("." + target);
}

struct Factors {
  const BundleTensor *a = nullptr, *b = nullptr, *magnitude = nullptr;
};

at::Tensor wide(const BundleTensor* tensor) {
  return tensor ? to_tensor(*tensor).to(at::kFloat) : at::Tensor();
}

std::map<std::string, Factors> factors_of(const PeftAdapter& adapter) {
  std::map<std::string, Factors> factors;
  for (const BundleTensor& tensor : adapter.tensors) {
    const auto cut = tensor.name.rfind(".lora_");
    if (cut == std::string::npos) continue;  // rows of tokens
    Factors& entry = factors[tensor.name.substr(0, cut)];
    const std::string part = tensor.name.substr(cut);
    (part == ".lora_A.weight" ? entry.a : part == ".lora_B.weight" ? entry.b : entry.magnitude) = &tensor;
  }
  for (const auto& [name, entry] : factors) {
    require(entry.a && entry.b, "the adapter of '", name, "' lacks a factor");
    require(adapter.kind != "dora" || entry.magnitude, "the adapter of '", name,
            "' lacks its magnitudes (DoRA)");
  }
  return factors;
}

// The tables with their trained rows put in.
bool merge_token_rows(Bundle& merged, const std::shared_ptr<const PeftAdapter>& adapter) {
  bool changes = false;
  for (const auto& [table, ids] : adapter->token_rows) {
    const std::string module = table == "lm_head" ? table : "model." + table;
    const auto named = [](const std::string& name) {
      return [name](const BundleTensor& t) { return t.name == name; };
    };
    const auto target = std::find_if(merged.tensors.begin(), merged.tensors.end(), named(module + ".weight"));
    const auto rows =
        std::find_if(adapter->tensors.begin(), adapter->tensors.end(), named(module + ".trainable_tokens"));
    require(target != merged.tensors.end(), "the adapter trains rows of '", table,
            "', which the base does not have");
    require(rows != adapter->tensors.end(), "the adapter lacks its trained rows of '", table, "'");
    for (const std::int64_t id : ids)
      require(id < target->shape[0], "the adapter trains the row of token ", id, ", and '", table, "' has ",
              target->shape[0]);
    const auto value = [original = *target, rows = &*rows, adapter, index = at::tensor(ids, at::kLong)] {
      return at::index_copy(to_tensor(original).to(at::kFloat), 0, index, wide(rows));
    };
    changes = changes || !at::equal(value(), to_tensor(*target).to(at::kFloat));
    target->dtype = DType::F32;
    target->bytes = [value, name = target->name] { return from_tensor(name, value()).bytes(); };
  }
  return changes;
}

}  // namespace

bool is_adapter_target(const AdapterSite& site, const std::vector<std::string>& targets) {
  return std::ranges::any_of(
      targets, [&](const std::string& target) { return matches(site.name, target, site.linear); });
}

void check_adapter_targets(const std::vector<AdapterSite>& sites, const std::vector<std::string>& targets) {
  std::set<std::string> names;
  for (const AdapterSite& site : sites) names.insert(short_name(site.name));
  for (const std::string& target : targets) {
    if (std::ranges::any_of(sites,
                            [&](const AdapterSite& site) { return matches(site.name, target, site.linear); }))
      continue;
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    fail_usage("adapter.targets: '", target, "' is no linear layer of this model; it has ", list,
               " (or all-linear)");
  }
}

std::vector<std::string> attach_adapters(const std::vector<AdapterPlace>& places, const AdapterSpec& spec,
                                         std::uint64_t seed, const std::shared_ptr<const AdapterPass>& pass) {
  std::vector<std::string> adapted;
  std::vector<AdapterSite> sites;
  const bool dora = spec.kind == AdapterKind::Dora;
  std::uint32_t site = 0;
  for (const auto& [root, prefix, blocks] : places) {
    for (auto& item : root.named_parameters()) item.tensor.set_requires_grad(false);
    for (const auto& [path, part] : root.named_modules()) {
      const auto linear = std::dynamic_pointer_cast<Linear>(part);
      const auto convolution = std::dynamic_pointer_cast<Convolution>(part);
      if ((!linear && !convolution) || path.find(blocks) == std::string::npos) continue;
      const std::uint32_t number = site++;  // the same whatever is targeted
      const std::string name = prefix + path;
      sites.push_back({name, linear != nullptr});
      if (!is_adapter_target(sites.back(), spec.targets)) continue;
      if (convolution && dora)
        fail_usage("adapter.kind dora is for linear layers; '", name, "' is a convolution");
      const at::Tensor weight = convolution ? convolution->weight
                                : dora      ? linear->dense_weight()
                                            : linear->weight;
      const auto adapter = std::make_shared<Adapter>(spec, weight, seed, number);
      adapter->pass = pass;
      if (linear)
        linear->adapt(adapter);
      else
        convolution->adapt(adapter);
      adapted.push_back(name);
    }
  }
  check_adapter_targets(sites, spec.targets);
  return adapted;
}

std::vector<std::string> attach_adapters(Decoder& decoder, const AdapterSpec& spec, std::uint64_t seed) {
  const auto pass = std::make_shared<AdapterPass>();
  std::vector<std::string> adapted = attach_adapters({{decoder, "", "layers."}}, spec, seed, pass);
  decoder.set_adapter_pass(pass);
  return adapted;
}

PeftAdapter adapter_settings(const AdapterSection& section, const std::string& base) {
  PeftAdapter adapter;
  adapter.kind = section.kind == "dora" ? "dora" : "lora";
  adapter.rank = section.rank;
  adapter.alpha = section.alpha;
  adapter.dropout = section.dropout;
  adapter.rank_stabilised = section.kind == "rslora";
  adapter.targets = section.targets;
  adapter.base = base;
  return adapter;
}

AdapterSpec adapter_spec(const AdapterSection& section) {
  AdapterSpec spec;
  spec.kind = section.kind == "dora" ? AdapterKind::Dora : AdapterKind::Lora;
  spec.rank = section.rank;
  spec.alpha = section.alpha;
  spec.rank_stabilised = section.kind == "rslora";
  spec.dropout = section.dropout;
  spec.targets = section.targets;
  return spec;
}

AdapterSpec adapter_spec(const PeftAdapter& adapter) {
  AdapterSpec spec;
  spec.kind = adapter.kind == "dora" ? AdapterKind::Dora : AdapterKind::Lora;
  spec.rank = adapter.rank;
  spec.alpha = adapter.alpha;
  spec.rank_stabilised = adapter.rank_stabilised;
  spec.dropout = adapter.dropout;
  return spec;
}

bool merge_matrices(const std::vector<MergePart>& parts, const std::shared_ptr<const PeftAdapter>& adapter) {
  const auto factors = factors_of(*adapter);
  const double scaling = adapter_spec(*adapter).scaling();
  bool changes = false;
  for (const auto& [name, entry] : factors) changes = changes || at::any(wide(entry.b) != 0).item<bool>();
  std::size_t found = 0;
  for (const auto& [tensors, prefix] : parts)
    for (BundleTensor& tensor : tensors) {
      const std::string end = ".weight";
      if (!tensor.name.ends_with(end)) continue;
      const auto at = factors.find(prefix + tensor.name.substr(0, tensor.name.size() - end.size()));
      if (at == factors.end()) continue;
      ++found;
      const auto value = [original = tensor, entry = at->second, adapter, scaling] {
        return merge_weight(to_tensor(original).to(at::kFloat), wide(entry.a), wide(entry.b),
                            wide(entry.magnitude), scaling);
      };
      if (!changes && at->second.magnitude)
        changes = !at::allclose(value(), to_tensor(tensor).to(at::kFloat), 1e-6, 0);
      tensor.dtype = DType::F32;
      tensor.bytes = [value, name = tensor.name] { return from_tensor(name, value()).bytes(); };
    }
  require(found == factors.size(), "the adapter has ", factors.size(), " modules and the base only ", found,
          " of them");
  return changes;
}

Bundle merge_adapter(const Bundle& base, const PeftAdapter& adapter) {
  const auto held = std::make_shared<const PeftAdapter>(adapter);  // tensors below point into it
  Bundle merged = base;
  const bool rows_change = merge_token_rows(merged, held);
  const bool changes = merge_matrices({{merged.tensors, ""}}, held) || rows_change;
  require(changes, "the adapter changes nothing: merged weights equal the base's; was it trained?");
  return merged;
}

void require_visible_change(const Bundle& base, const Bundle& merged, DType dtype) {
  require(base.tensors.size() == merged.tensors.size(), "merged and base differ in their tensors");
  for (std::size_t i = 0; i < base.tensors.size(); ++i) {
    const ByteBlock before = convert_tensor(base.tensors[i], dtype).bytes();
    const ByteBlock after = convert_tensor(merged.tensors[i], dtype).bytes();
    if (!std::ranges::equal(before.bytes, after.bytes)) return;
  }
  fail("the merged weights equal the base's once rounded to ", dtype_name(dtype),
       ": what the adapter learned is too small "
       "for it; ",
       dtype == DType::F32 ? "" : "export with dtype fp32, ",
       "export the adapter alone (format: peft), or train it "
       "longer");
}

}  // namespace lathe
