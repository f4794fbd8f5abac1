#pragma once
// The precompiled header of the torch part of the house: tensors and what nearly every file needs beside
// them. Sources still include what they use. No ATen/ATen.h, torch/nn or autograd/custom_function.h:
// templates that a header leaves pending are instantiated again in every file that sees it, two seconds each
// for those three.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "data/pch.h"
