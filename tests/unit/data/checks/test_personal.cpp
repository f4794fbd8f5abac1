#include "data/checks/personal.h"

#include "tests/catch.h"
#include "tests/temporary_folder.h"

using namespace lathe;

namespace {

std::string kinds(std::string_view text) {
  std::string all;
  for (const auto& match : find_personal(text)) all += (all.empty() ? "" : " ") + std::string(match.kind);
  return all;
}

// A key built here, so that no scanner takes this file for a leak.
std::string key(const std::string& prefix, const std::string& body) { return prefix + body; }

}  // namespace

TEST_CASE("check digits: published examples") {
  CHECK(passes_luhn("4111111111111111"));
  CHECK(passes_luhn("73282932000074"));
  CHECK(!passes_luhn("4111111111111112"));
  CHECK(!passes_luhn(""));
  CHECK(passes_mod97("GB82WEST12345698765432"));
  CHECK(passes_mod97("FR1420041010050500013M02606"));
  CHECK(!passes_mod97("FR1420041010050500013M02607"));
  CHECK(passes_nir_key("184127645108946"));
  CHECK(!passes_nir_key("184127645108947"));
  CHECK(passes_nir_key("285032A00412371"));   // Corsica: 2A counts as 19
  CHECK(passes_nir_key("162012B03300110"));   // 2B as 18
  CHECK(!passes_nir_key("184137645108946"));  // month 13
}

TEST_CASE("personal data in its usual forms") {
  const std::pair<const char*, const char*> all[] = {
      {"Write to jean.dupont+sav@ma-societe.fr, please", "email"},
      {"06 12 34 56 78", "phone"},
      {"T\xC3\xA9l. : 06.12.34.56.78.", "phone"},
      {"appelez le 0612345678 !", "phone"},
      {"au\xC2\xA0"
       "01\xC2\xA0"
       "23\xC2\xA0"
       "45\xC2\xA0"
       "67\xC2\xA0"
       "89",
       "phone"},
      {"+33 6 12 34 56 78", "phone"},
      {"+33 (0)6 12 34 56 78", "phone"},
      {"+33612345678", "phone"},
      {"0033612345678", "phone"},
      {"le 0033 6 12 34 56 78.", "phone"},
      {"00 33 6 12 34 56 78", "phone"},
      {"tel. 0145678901", "phone"},
      {"card 4111.1111.1111.1111", "card"},
      {"iban de89 3704 0044 0532 0130 00", "iban"},
      {"gb82 west 1234 5698 7654 32", "iban"},
      {"\xC3\xA0 jean@soci\xC3\xA9t\xC3\xA9.fr.", "email"},
      {"ren\xC3\xA9.dupond@ma-societe.fr", "email"},
      {"+49 30 901820", "phone"},
      {"+1 (212) 555-0100", "phone"},
      {"call (212) 555-0100 now", "phone"},
      {"call 212-555-0100 now", "phone"},
      {"Visa 4111 1111 1111 1111 exp 12/27", "card"},
      {"4111111111111111", "card"},
      {"3782 822463 10005", "card"},
      {"IBAN : FR14 2004 1010 0505 0001 3M02 606.", "iban"},
      {"DE89370400440532013000", "iban"},
      {"NIR 1 84 12 76 451 089 46", "nir"},
      {"184127645108946", "nir"},
      {"2 85 03 2A 004 123 71", "nir"},
      {"SIRET 732 829 320 00074", "siret"},
      {"siret:73282932000074", "siret"},
      {"no 73282932000074 au registre", "siret"},
      {"SIRET 35600000009075", "siret"},  // La Poste: digits sum to a multiple of 5, Luhn fails
  };
  for (const auto& [text, kind] : all) {
    INFO(text);
    CHECK(kinds(text) == kind);
  }
}

TEST_CASE("secrets by their prefixes") {
  CHECK(kinds(key("AKIA", "J7QX2M4LP9RT6WZB")) == "api_key");
  CHECK(kinds("token=" + key("ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")) == "api_key");
  CHECK(kinds(key("sk-", "proj-Ab3dEf6hIj9kLm2nOp5qRs8t")) == "api_key");
  CHECK(kinds(key("AIza", "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q")) == "api_key");
  CHECK(kinds(key("glpat-", "x7Kq2ZsdmA91bcEfgH_i")) == "api_key");
  const std::string header = key("eyJ", "hbGciOiJIUzI1NiJ9"), claims = "eyJzdWIiOiIxMjM0NTY3ODkwIn0";
  CHECK(kinds("Authorization: Bearer " + header + "." + claims +
              ".dozjgNryP4J3jVmNHl0w5N-XgL0n3I9PlFUP0THsR8U") == "api_key");
  CHECK(kinds("a." + header + ".b.c") == "");
  CHECK(kinds(key("SG.", "ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf09kqeF8tAmbihYzrnopKc1s5cr")) == "api_key");
  CHECK(kinds("aws_secret_access_key = " + key("wJ7rXUtnFEMI", "K3MDENGbPxRfiCYzq8mPLEkeyA1b")) == "api_key");
  CHECK(kinds("sha1 " + key("wJ7rXUtnFEMI", "K3MDENGbPxRfiCYzq8mPLEkeyA1b")) == "");  // its name tells
  CHECK(kinds("-----BEGIN " + key("RSA ", "PRIVATE KEY-----") + "\nMIIE") == "private_key");
  CHECK(kinds("-----BEGIN " + key("PGP ", "PRIVATE KEY BLOCK-----") + "\n\nlQ") == "private_key");
  CHECK(kinds(key("npm_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")) == "api_key");
  CHECK(kinds("Authorization: " + key("Bearer ", "a1B2c3D4e5F6g7H8i9J0k1")) == "api_key");
  CHECK(kinds(key("AKIA", "IOSFODNN7EXAMPLE")) == "");  // the vendor's own example
  CHECK(kinds("sk-learn-is-not-a-key-but-a-word-with-dashes") == "");
  CHECK(kinds("task-1234567890abcdefghij") == "");
}

TEST_CASE("what only looks like personal data") {
  for (const char* text : {"user@example.com",
                           "git@github.com:a/b.git",
                           "pip install x@1.2.3",
                           "@dataclass",
                           "a@b",
                           "x = a @ b.T",
                           "3.14159265358979",
                           "0.123456789012345",
                           "1234567890123456",
                           "4111 1111 1111 1112",
                           "2024-01-31 12:30:00",
                           "20240131123000",
                           "1 000 000 000 000",
                           "0 1 2 3 4 5 6 7 8 9 10 11 12 13",
                           "01 02 03 04 05 06 07 08",
                           "192.168.100.200",
                           "978-0-306-40615-7",
                           "2 + 3 = 5",
                           "1+23456789012",
                           "x=+1234567890",
                           "1234-5678",
                           "FR14 2004 1010 0505 0001 3M02 607",
                           "DE89",
                           "GBP 12345698765432",
                           "555-0100",
                           "1/0612345678",
                           "0000 0000 0000 0000",
                           "a0612345678",
                           "06123456789",
                           "order number 0123456789",
                           "commande n\xC2\xB0 0612345678",
                           "the 0145678901 of the list",
                           "4111.1111.1111.1112",
                           "de89370400440532013001",
                           "212.555.01000",
                           "100-200-3000",
                           "https://example.org/06123456781234",
                           "1,234,567,890"}) {
    INFO(text);
    CHECK(kinds(text) == "");
  }
}

TEST_CASE("nothing found is shown whole") {
  const std::string text =
      "jean.dupont@ma-societe.fr, 06 12 34 56 78, 4111 1111 1111 1111, FR14 2004 1010 0505 0001 3M02 "
      "606, 1 84 12 76 451 089 46, " +
      key("AKIA", "J7QX2M4LP9RT6WZB");
  const auto found = find_personal(text);
  REQUIRE(found.size() == 6);
  CHECK(found[0].masked == "j...@....fr");
  CHECK(found[1].masked == "06...78");
  CHECK(found[2].masked == "...1111");
  CHECK(found[3].masked == "FR14...06");
  CHECK(found[4].masked == "1...46");
  CHECK(found[5].masked == "AKIA...");
  CHECK(text.substr(found[1].begin, found[1].end - found[1].begin) == "06 12 34 56 78");
}

TEST_CASE("secrets that their name or place tells") {
  const std::string hex = key("0123456789abcdef", "0123456789abcdef"), word = key("S3cr3t", "!pass");
  for (const std::string& text :
       {"api_key=" + hex, "OPENAI_API_KEY = \"" + hex + "\"", "\"client_secret\": \"" + hex + "\",",
        "DefaultEndpointsProtocol=https;AccountKey=" + hex + "==;", "secret: " + hex})
    CHECK(kinds(text) == "api_key");
  for (const std::string& text :
       {"password: " + word, "Mot de passe : " + word + ".", "db_pwd=" + word,
        "postgres://admin:" + word + "@db.site.org:5432/x", "see https://user:" + word + "@host.com/ for it"})
    CHECK(kinds(text) == "password");
  const auto found = find_personal("password: " + word);
  REQUIRE(found.size() == 1);
  CHECK(found[0].masked == "S...");
  CHECK(find_personal("password: \xC3\xA9" + word)[0].masked == "...");  // never half a character
}

TEST_CASE("what only looks like a named secret") {
  for (const char* text : {"password: required", "the password = yours1", "api_key=os.environ[\"KEY_1\"]",
                           "secret: a", "pwd=", "the secret: it was raining on the 24th of December 1999",
                           "api_key: <your key here 1234567890>", "https://site.org:8080/a@b",
                           "http://host/path:1234", "a = b1", "keypassword1: no", "://", "x://@y"})
    CHECK(kinds(text) == "");
}
