#include "trainer/parallel/gloo.h"

#include "recipes/schema/error.h"

#if defined(LATHE_HAVE_GLOO)
#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO
#endif
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <cstdlib>

namespace lathe {

bool have_gloo() { return true; }

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                            const std::string& address, int timeout_seconds) {
  using Gloo = c10d::ProcessGroupGloo;
  auto options = Gloo::Options::create(std::chrono::seconds(timeout_seconds));
  const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
  // Connections are made now, not at first use: a rank that dies is then noticed by all the others.
  options->devices.push_back(interface && *interface ? Gloo::createDeviceForInterface(interface, false)
                                                     : Gloo::createDeviceForHostname(address, false));
  options->threads = 2;
  return c10::make_intrusive<Gloo>(store, rank, size, options);
}

}  // namespace lathe

#else

namespace lathe {

bool have_gloo() { return false; }

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>&, int, int size,
                                            const std::string&, int) {
  fail("training with ", size,
       " processes needs Gloo, and this program was built without its headers; install them "
       "(Debian: libgloo-dev) and build again, or train with one process");
}

}  // namespace lathe

#endif
