#pragma once
// A network as a tree of named parts. Names joined by dots are the parameters' names
// ("layers.0.mlp.up.weight"), those of the Hugging Face layouts. It does what torch::nn::Module does for us
// (names and their order) and nothing else: that class's header costs every file that sees it two seconds of
// compile time.
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "recipes/schema/error.h"

namespace lathe {

struct NamedParameter {
  std::string name;
  at::Tensor tensor;  // shares the module's
};

// In the order of registration: a module's own, then those of its children.
class NamedParameters {
 public:
  void add(std::string name, at::Tensor tensor) { items_.push_back({std::move(name), std::move(tensor)}); }
  at::Tensor* find(const std::string& name);  // null when absent
  const at::Tensor* find(const std::string& name) const;
  bool contains(const std::string& name) const { return find(name) != nullptr; }
  at::Tensor& operator[](const std::string& name);  // an Error that names it when absent
  const at::Tensor& operator[](const std::string& name) const;
  const NamedParameter& operator[](std::size_t i) const { return items_[i]; }
  std::size_t size() const { return items_.size(); }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<NamedParameter> items_;
};

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // The tensor, from now on a leaf that gathers gradients if asked. A name holds one thing only.
  at::Tensor register_parameter(const std::string& name, at::Tensor tensor, bool requires_grad = true);
  template <class Part>
  std::shared_ptr<Part> register_module(const std::string& name, std::shared_ptr<Part> part) {
    add_child(name, part);
    return part;
  }
  Module* child(const std::string& name) const;  // null when absent
  // All parts below, each before its own.
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> named_modules() const;

  NamedParameters named_parameters() const;
  std::vector<at::Tensor> parameters() const;

 protected:
  // Another tensor under a name that is there; whoever holds the old one keeps that.
  at::Tensor replace_parameter(const std::string& name, at::Tensor tensor);

 private:
  void add_child(const std::string& name, std::shared_ptr<Module> child);
  void refuse_taken(const std::string& name) const;
  void collect_modules(const std::string& prefix,
                       std::vector<std::pair<std::string, std::shared_ptr<Module>>>& found) const;
  void collect(const std::string& prefix, NamedParameters& found) const;
  NamedParameters own_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
};

// Registers a module at a dotted path below another, as folders of diffusers name them ("attn.to_out.0",
// "ff.net.0.proj"); the modules between carry names only and are shared by all paths through them.
template <class Part>
std::shared_ptr<Part> register_at(Module& root, const std::string& path, std::shared_ptr<Part> part) {
  Module* place = &root;
  std::size_t begin = 0;
  for (std::size_t dot; (dot = path.find('.', begin)) != std::string::npos; begin = dot + 1) {
    const std::string name = path.substr(begin, dot - begin);
    Module* known = place->child(name);
    place = known ? known : place->register_module(name, std::make_shared<Module>()).get();
  }
  return place->register_module(path.substr(begin), std::move(part));
}

}  // namespace lathe
