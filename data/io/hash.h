#pragma once
// SHA-256 (FIPS 180-4, OpenSSL) for names and manifests, XXH3-64 for block checksums.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lathe {

using Sha256Digest = std::array<std::uint8_t, 32>;

class Sha256 {  // incremental
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text);
  Sha256Digest digest();  // ends the computation
  std::string hex();      // its 64 lower-case digits; ends the computation

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hex(const Sha256Digest& digest);
Sha256Digest sha256(std::string_view text);
std::string sha256_hex(std::string_view text);
std::string sha256_file(const std::string& path);
std::uint64_t xxh3(std::span<const std::byte> bytes);

}  // namespace lathe
