#pragma once
// Examples for tests that need no file.
#include <string>

#include "data/sources/example.h"

namespace lathe::test {

inline Example pair(const std::string& prompt, const std::string& completion) {
  Example example;
  example.prompt = prompt;
  example.completion = completion;
  return example;
}

}  // namespace lathe::test
