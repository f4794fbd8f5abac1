#include <iostream>

#include "trainer/cli/command.h"

namespace lathe {

void Context::say(const std::string& line) const { (json ? std::cerr : std::cout) << line << std::endl; }

void Context::log(const std::string& line) const {
  if (!quiet) std::cerr << line << std::endl;
}

}  // namespace lathe
