// Runs token ids through a GGUF file with llama.cpp and writes the logits, for agreement with
// Sextant's.
//
//     llama-logits MODEL.gguf OUT.f32 1,2,3 [N] [CONTROL.gguf STRENGTH]
//
// OUT gets a row of float32 for each given id; then the N most probable next tokens are printed.
// A control vector is loaded by llama.cpp's own loader, for all layers, so that its convention counts.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common.h"
#include "llama.h"

namespace {

std::vector<llama_token> parse(const char *text) {
  std::vector<llama_token> ids;
  for (char *end = nullptr;; text = end + 1) {
    ids.push_back((llama_token)std::strtol(text, &end, 10));
    if (*end != ',') return ids;
  }
}

// Every token's logits are kept.
void add(llama_batch &batch, llama_token token, int position) {
  const int i = batch.n_tokens++;
  batch.token[i] = token;
  batch.pos[i] = position;
  batch.n_seq_id[i] = 1;
  batch.seq_id[i][0] = 0;
  batch.logits[i] = true;
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 4) {
    std::fprintf(stderr, "usage: llama-logits MODEL.gguf OUT.f32 1,2,3 [N] [CONTROL.gguf STRENGTH]\n");
    return 64;
  }
  llama_log_set([](ggml_log_level level, const char *text, void *) {
    if (level >= GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
  }, nullptr);
  llama_backend_init();
  llama_model *model = llama_model_load_from_file(arguments[1], llama_model_default_params());
  if (model == nullptr) return 65;
  std::vector<llama_token> ids = parse(arguments[3]);
  const int wanted = count > 4 ? std::atoi(arguments[4]) : 0;

  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = (uint32_t)(ids.size() + (size_t)wanted + 255) / 256 * 256;
  parameters.n_threads = parameters.n_threads_batch = 2;
  parameters.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  parameters.type_k = parameters.type_v = GGML_TYPE_F32;
  llama_context *context = llama_init_from_model(model, parameters);
  if (context == nullptr) return 70;
  if (count > 6) {
    const common_control_vector_data vector =
        common_control_vector_load({{(float)std::atof(arguments[6]), arguments[5]}});
    if (vector.n_embd < 0) return 65;
    const int layers = llama_model_n_layer(model);
    if (llama_set_adapter_cvec(
            context, vector.data.data(), vector.data.size(), vector.n_embd, 1, layers) != 0)
      return 65;
  }

  const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  llama_batch batch = llama_batch_init((int)ids.size(), 0, 1);
  for (size_t i = 0; i < ids.size(); i++) add(batch, ids[i], (int)i);
  if (llama_decode(context, batch) != 0) return 70;
  std::FILE *out = std::fopen(arguments[2], "wb");
  if (out == nullptr) return 73;
  for (size_t i = 0; i < ids.size(); i++)
    std::fwrite(llama_get_logits_ith(context, (int)i), sizeof(float), (size_t)vocabulary, out);
  if (std::fclose(out) != 0) return 74;

  for (int i = 0, row = (int)ids.size() - 1; i < wanted; i++, row = 0) {
    const float *logits = llama_get_logits_ith(context, row);
    llama_token best = 0;
    for (int id = 1; id < vocabulary; id++)
      if (logits[id] > logits[best]) best = id;
    std::printf("%s%d", i == 0 ? "" : ",", best);
    batch.n_tokens = 0;
    add(batch, best, (int)ids.size() + i);
    if (llama_decode(context, batch) != 0) return 70;
  }
  std::printf("\n");
}
