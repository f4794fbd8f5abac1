// Preloaded into programs by test_locale.py: they run under the locale of the environment, in C and in C++,
// as if they had asked for it themselves. The decimal point found is written to LATHE_LOCALE_MARK, so that a
// locale that did not take is seen.
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <locale>
#include <stdexcept>

namespace {

struct Preload {
  Preload() {
    try {
      std::locale::global(std::locale(""));
      std::setlocale(LC_MESSAGES, "C");  // tests compare the system's messages, which are no concern of ours
    } catch (const std::runtime_error&) {
      std::fputs("locale_preload: the locale of the environment is not there\n", stderr);
      std::_Exit(77);
    }
    const char* path = std::getenv("LATHE_LOCALE_MARK");
    std::FILE* mark = path ? std::fopen(path, "w") : nullptr;
    if (!mark) std::_Exit(78);
    std::fprintf(mark, "%.1f", 0.5);
    std::fclose(mark);
  }
};

const Preload preload;

}  // namespace
