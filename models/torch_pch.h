#pragma once
// The precompiled header of the torch part of the house. Sources still include what they use.
#include <torch/nn/module.h>
#include <torch/csrc/autograd/custom_function.h>
#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>
