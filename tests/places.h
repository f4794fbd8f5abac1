#pragma once
// Folders of this checkout. Their names are compiled into one file, so that the objects of the tests are the
// same in every checkout and the compiler's cache serves them all.
#include <string>

namespace lathe::test {

std::string source_folder();  // the root of the repository
std::string build_folder();   // build/<preset>

}  // namespace lathe::test
