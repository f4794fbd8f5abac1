#pragma once
// Adapters of a whole decoder: put on, loaded, merged into a bundle; and the parts of it that pictures.h
// shares.
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/peft.h"
#include "models/adapters/adapter.h"
#include "models/decoder/decoder.h"
#include "recipes/schema/model_sections.h"

namespace lathe {

// Freezes every parameter and puts an adapter on each Linear of the blocks that `spec.targets` names
// ("all-linear": on all; the head never). Returns the modules' names. A target that matches nothing is a
// usage Error with the names there.
std::vector<std::string> attach_adapters(Decoder& decoder, const AdapterSpec& spec, std::uint64_t seed);

// A layer that could get an adapter, by its full name. Convolutions are targets by name alone.
// check_adapter_targets: a usage Error when a target names none of them, with the names there are.
struct AdapterSite {
  std::string name;
  bool linear = true;  // else a convolution
};
bool is_adapter_target(const AdapterSite& site, const std::vector<std::string>& targets);
void check_adapter_targets(const std::vector<AdapterSite>& sites, const std::vector<std::string>& targets);

// A module whose linear layers are counted for adapters: those with `blocks` in their name. `prefix` leads
// its names.
struct AdapterPlace {
  Module& root;
  std::string prefix, blocks;
};
// The same on several modules at once.
std::vector<std::string> attach_adapters(const std::vector<AdapterPlace>& places, const AdapterSpec& spec,
                                         std::uint64_t seed, const std::shared_ptr<const AdapterPass>& pass);

AdapterSpec adapter_spec(const AdapterSection& section);
AdapterSpec adapter_spec(const PeftAdapter& adapter);

// The settings of a recipe's adapter on `base`, without tensors.
PeftAdapter adapter_settings(const AdapterSection& section, const std::string& base);

// Merges the adapter's matrices into those of `parts`, lists of tensors whose names the adapter has behind a
// prefix; lazily, in fp32. Returns whether any of them changes. Error when the adapter has a module that is
// in none of them.
struct MergePart {
  std::vector<BundleTensor>& tensors;
  std::string prefix;
};
bool merge_matrices(const std::vector<MergePart>& parts, const std::shared_ptr<const PeftAdapter>& adapter);

// The base with the adapter merged in fp32, lazily, a tensor at a time; merged tensors are F32. Error when
// the adapter changes nothing (all B zero, magnitudes those of the base).
Bundle merge_adapter(const Bundle& base, const PeftAdapter& adapter);
// Error when every merged tensor equals the base's, byte for byte, once both are rounded to `dtype`: such an
// export would be the base.
void require_visible_change(const Bundle& base, const Bundle& merged, DType dtype);

}  // namespace lathe
