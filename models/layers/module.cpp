#include "models/layers/module.h"

#include <algorithm>

namespace lathe {

at::Tensor* NamedParameters::find(const std::string& name) {
  const auto found = std::find_if(items_.begin(), items_.end(),
                                  [&](const NamedParameter& item) { return item.name == name; });
  return found == items_.end() ? nullptr : &found->tensor;
}

const at::Tensor* NamedParameters::find(const std::string& name) const {
  return const_cast<NamedParameters*>(this)->find(name);
}

at::Tensor& NamedParameters::operator[](const std::string& name) {
  at::Tensor* found = find(name);
  require(found != nullptr, "the network has no parameter '", name, "'");
  return *found;
}

const at::Tensor& NamedParameters::operator[](const std::string& name) const {
  return const_cast<NamedParameters&>(*this)[name];
}

at::Tensor Module::register_parameter(const std::string& name, at::Tensor tensor, bool requires_grad) {
  refuse_taken(name);
  tensor.set_requires_grad(requires_grad);
  own_.add(name, tensor);
  return tensor;
}

at::Tensor Module::replace_parameter(const std::string& name, at::Tensor tensor) {
  return own_[name] = std::move(tensor);
}

Module* Module::child(const std::string& name) const {
  for (const auto& [known, part] : children_)
    if (known == name) return part.get();
  return nullptr;
}

std::vector<std::pair<std::string, std::shared_ptr<Module>>> Module::named_modules() const {
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> found;
  collect_modules("", found);
  return found;
}

NamedParameters Module::named_parameters() const {
  NamedParameters found;
  collect("", found);
  return found;
}

std::vector<at::Tensor> Module::parameters() const {
  std::vector<at::Tensor> tensors;
  for (const NamedParameter& item : named_parameters()) tensors.push_back(item.tensor);
  return tensors;
}

void Module::add_child(const std::string& name, std::shared_ptr<Module> child) {
  refuse_taken(name);
  require(child != nullptr && name.find('.') == std::string::npos && !name.empty(), "'", name,
          "' is no name of a part");
  children_.emplace_back(name, std::move(child));
}

void Module::refuse_taken(const std::string& name) const {
  require(!own_.contains(name) && child(name) == nullptr, "a network has two parts called '", name, "'");
}

void Module::collect_modules(const std::string& prefix,
                             std::vector<std::pair<std::string, std::shared_ptr<Module>>>& found) const {
  for (const auto& [name, part] : children_) {
    found.emplace_back(prefix + name, part);
    part->collect_modules(prefix + name + ".", found);
  }
}

void Module::collect(const std::string& prefix, NamedParameters& found) const {
  for (const NamedParameter& item : own_) found.add(prefix + item.name, item.tensor);
  for (const auto& [name, part] : children_) part->collect(prefix + name + ".", found);
}

}  // namespace lathe
