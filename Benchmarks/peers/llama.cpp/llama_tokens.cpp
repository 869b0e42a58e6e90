// Cuts texts into tokens with the tokenizer of a GGUF file, as llama.cpp does.
//
//     llama-tokens MODEL.gguf <TEXTS >IDS
//
// TEXTS are texts, each after its length in bytes (32 bits, little-endian). IDS has a line for each text:
// its ids, a bar, and the bytes that the ids decode to, in hexadecimal digits. Nothing is put before a
// text. Special tokens in a text count as tokens.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "llama.h"

int main(int count, char **arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: llama-tokens MODEL.gguf <TEXTS >IDS\n");
    return 64;
  }
  llama_log_set([](ggml_log_level level, const char *text, void *) {
    if (level >= GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
  }, nullptr);
  llama_backend_init();
  llama_model_params parameters = llama_model_default_params();
  parameters.vocab_only = true;
  llama_model *model = llama_model_load_from_file(arguments[1], parameters);
  if (model == nullptr) return 65;
  const llama_vocab *vocabulary = llama_model_get_vocab(model);

  uint32_t length = 0;
  while (std::fread(&length, sizeof length, 1, stdin) == 1) {
    std::string text(length, '\0');
    if (std::fread(text.data(), 1, length, stdin) != length) return 65;
    std::vector<llama_token> ids(length + 16);
    const int n = llama_tokenize(
        vocabulary, text.data(), (int)length, ids.data(), (int)ids.size(), false, true);
    if (n < 0) return 70;
    for (int i = 0; i < n; i++) std::printf("%s%d", i == 0 ? "" : " ", ids[i]);
    std::vector<char> back(16 * (size_t)length + 256);
    const int m = llama_detokenize(
        vocabulary, ids.data(), n, back.data(), (int)back.size(), false, true);
    if (m < 0) return 70;
    std::printf("|");
    for (int i = 0; i < m; i++) std::printf("%02x", (unsigned char)back[(size_t)i]);
    std::printf("\n");
  }
}
