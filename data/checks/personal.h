#pragma once
// Secrets and personal data in a text. A tuned model can repeat what it was trained on, so its owner should
// know what is in there. Every kind has a check digit, a fixed prefix or a fixed grouping: few false alarms
// matter more than the last true one, for a report that cries wolf is not read. Pure functions; nothing found
// is ever shown whole.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

struct PersonalMatch {
  std::string_view kind;           // email, phone, card, iban, nir, siret, api_key, password, private_key
  std::size_t begin = 0, end = 0;  // bytes
  std::string masked;              // safe to print: "AKIA...", "j...@...", "FR76...89"
};

// In order of position, without overlaps.
//   email        RFC 5322's common form; example.org and the like (RFC 2606) do not count
//   phone        French in pairs or with +33, in one piece a mobile's or what is named so; North American
//   3-3-4, others with + and 9 to 15 digits (E.164)
//   card         a known issuer's prefix and length, usual grouping, Luhn's check digit (ISO/IEC 7812)
//   iban         country, its length, remainder 1 modulo 97 (ISO 13616); small letters too
//   nir          French social security number of 15 characters with its key, Corsica included
//   siret        14 digits, Luhn (La Poste's rule too), grouped 3-3-3-5, or named, or with a usual
//   establishment number
//   api_key      AWS, OpenAI, Anthropic, GitHub, Hugging Face, Slack, Google, Stripe, npm, Groq, bearer
//                tokens, and what is named so (named_secret.h)
//   password     named so, or in an address: scheme://user:password@host
//   private_key  PEM and PGP blocks (RFC 7468, RFC 9580)
std::vector<PersonalMatch> find_personal(std::string_view text);

// Check digits, over ASCII digits only.
bool passes_luhn(std::string_view digits);
// `iban` in capitals without spaces.
bool passes_mod97(std::string_view iban);
// 15 characters: sex, year, month, department (2A and 2B too), commune, order, key.
bool passes_nir_key(std::string_view nir);

}  // namespace lathe
