#pragma once
// Registers a module at a dotted path below another, as folders of diffusers name them ("attn.to_out.0",
// "ff.net.0.proj"); the modules between carry names only and are shared by all paths through them.
#include <torch/nn/module.h>

#include <memory>
#include <string>

namespace lathe {

template <typename Module>
std::shared_ptr<Module> register_at(torch::nn::Module& root, const std::string& path,
                                    std::shared_ptr<Module> module) {
  torch::nn::Module* place = &root;
  std::size_t begin = 0;
  for (std::size_t dot; (dot = path.find('.', begin)) != std::string::npos; begin = dot + 1) {
    const std::string name = path.substr(begin, dot - begin);
    const auto children = place->named_children();
    place = children.contains(name)
                ? children[name].get()
                : place->register_module(name, std::make_shared<torch::nn::Module>()).get();
  }
  return place->register_module(path.substr(begin), std::move(module));
}

}  // namespace lathe
