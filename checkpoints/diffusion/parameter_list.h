#pragma once
// A list of parameters as it grows, in the kinds of layers that diffusion networks have; the names are
// diffusers' (name.weight, name.bias).
#include <string>
#include <vector>

#include "checkpoints/bundle/spec.h"

namespace lathe {

class ParameterList {
 public:
  void linear(const std::string& name, std::int64_t in, std::int64_t out) {
    matrix(name, in, out);
    all.push_back({name + ".bias", {out}});
  }
  void matrix(const std::string& name, std::int64_t in, std::int64_t out) {  // without a bias
    all.push_back({name + ".weight", {out, in}});
  }
  void vector(const std::string& name, std::int64_t size) { all.push_back({name + ".weight", {size}}); }
  void norm(const std::string& name, std::int64_t channels) {
    vector(name, channels);
    all.push_back({name + ".bias", {channels}});
  }
  void convolution(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t side) {
    all.push_back({name + ".weight", {out, in, side, side}});
    all.push_back({name + ".bias", {out}});
  }
  // ResnetBlock2D; time_channels 0: its time is not told.
  void resnet(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t time_channels) {
    norm(name + ".norm1", in);
    convolution(name + ".conv1", in, out, 3);
    if (time_channels > 0) linear(name + ".time_emb_proj", time_channels, out);
    norm(name + ".norm2", out);
    convolution(name + ".conv2", out, out, 3);
    if (in != out) convolution(name + ".conv_shortcut", in, out, 1);
  }
  // Attention over all places of a picture, with its norm.
  void attention(const std::string& name, std::int64_t channels) {
    norm(name + ".group_norm", channels);
    for (const char* part : {".to_q", ".to_k", ".to_v", ".to_out.0"}) linear(name + part, channels, channels);
  }
  // proj_in, proj_out of Transformer2DModel: a linear layer, or a convolution of one place.
  void projection(const std::string& name, std::int64_t channels, bool is_linear) {
    if (is_linear) return linear(name, channels, channels);
    convolution(name, channels, channels, 1);
  }
  // BasicTransformerBlock: attention to the picture, to a text of `context` channels, and a GEGLU.
  void cross_block(const std::string& name, std::int64_t channels, std::int64_t context) {
    for (const int number : {1, 2}) {
      const std::string attention = name + ".attn" + std::to_string(number);
      norm(name + ".norm" + std::to_string(number), channels);
      matrix(attention + ".to_q", channels, channels);
      for (const char* part : {".to_k", ".to_v"})
        matrix(attention + part, number == 1 ? channels : context, channels);
      linear(attention + ".to_out.0", channels, channels);
    }
    norm(name + ".norm3", channels);
    linear(name + ".ff.net.0.proj", channels, 8 * channels);
    linear(name + ".ff.net.2", 4 * channels, channels);
  }

  std::vector<ParameterInfo> all;
};

}  // namespace lathe
