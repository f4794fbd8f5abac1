#pragma once
// Runs work of a library that ends the whole program on inputs it does not like: in a child process, which
// hands back bytes. The child's death is an Error with the last it said.
#include <functional>
#include <string>

namespace lathe {

// `what` begins the error's text. An Error thrown by `work` arrives as an Error with the same text.
std::string run_isolated(const std::string& what, const std::function<std::string()>& work);

}  // namespace lathe
