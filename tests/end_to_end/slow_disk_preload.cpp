// Preloaded by test_train.py: every fsync takes LATHE_SYNC_SECONDS longer, as on a slow or busy disk.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int fsync(int descriptor) {
  const char* seconds = std::getenv("LATHE_SYNC_SECONDS");
  if (seconds == nullptr) std::_Exit(78);
  usleep(static_cast<useconds_t>(1e6 * std::atof(seconds)));
  return reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, "fsync"))(descriptor);
}
