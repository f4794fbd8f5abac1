#pragma once
// Gloo as a c10d backend. Its own headers are included by gloo.cpp alone: they are those of the system, while
// the library is inside LibTorch, so nothing of ours may derive from or construct their types.
#include <c10/util/intrusive_ptr.h>

#include <string>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace lathe {

bool have_gloo();  // false when the program was built without Gloo's headers
// `address` is this machine's, as the other ranks reach it. Error without Gloo.
c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                            const std::string& address, int timeout_seconds);

}  // namespace lathe
