// Runs a GGUF file with llama.cpp, for timings beside Sextant's.
//
// Reads one JSON object on each line of standard input, runs the requested task, and answers with one JSON
// object a line on standard output, as `transformers_peer.py` does:
//
//     {"task": "prefill", "tokens": T}
//     {"task": "decode", "tokens": N, "batch": B, "prompt": P}
//
// Everything else is as `llama-bench` does it: the default context parameters (micro-batches of 512,
// flash attention where it fits), the file mapped, the same number of threads for prompts and tokens.
// The most probable token is found by a plain loop over the logits, and is part of the time on both sides.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "llama.h"

namespace {

// What has passed since it was made, by the clock and by the processors' time.
struct Stopwatch {
  std::chrono::steady_clock::time_point clock = std::chrono::steady_clock::now();
  double processor = processor_seconds();

  static double processor_seconds() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
  }

  void answer(const std::vector<llama_token> &last) const {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - clock;
    std::printf(
        "{\"seconds\": %.9f, \"processor_seconds\": %.9f, \"last\": [", passed.count(),
        processor_seconds() - processor);
    for (size_t i = 0; i < last.size(); i++) std::printf("%s%d", i == 0 ? "" : ", ", last[i]);
    std::printf("]}\n");
    std::fflush(stdout);
  }
};

class Peer {
 public:
  Peer(const char *path, int threads) {
    llama_model_params model_parameters = llama_model_default_params();
    model = llama_model_load_from_file(path, model_parameters);
    if (model == nullptr) std::exit(65);
    vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    this->threads = threads;
  }

  // Reads a prompt and finds the most probable next token.
  void prefill(int tokens) {
    use(1, tokens);
    llama_batch batch = llama_batch_init(tokens, 0, 1);
    for (int i = 0; i < tokens; i++) add(batch, token(i, 0), i, 0, i == tokens - 1);
    const Stopwatch watch;
    decode(batch);
    const std::vector<llama_token> last = {likeliest(tokens - 1)};
    watch.answer(last);
    llama_batch_free(batch);
  }

  // Generates the most probable tokens after a prompt. The prompt is not timed.
  void generate(int tokens, int sequences, int prompt) {
    use(sequences, prompt + tokens);
    llama_batch batch = llama_batch_init(prompt * sequences, 0, 1);
    std::vector<llama_token> last(sequences);
    for (int s = 0; s < sequences; s++)
      for (int i = 0; i < prompt; i++) add(batch, token(i, s), i, s, i == prompt - 1);
    decode(batch);
    for (int s = 0; s < sequences; s++) last[s] = likeliest((s + 1) * prompt - 1);
    const Stopwatch watch;
    for (int i = 0; i < tokens; i++) {
      batch.n_tokens = 0;
      for (int s = 0; s < sequences; s++) add(batch, last[s], prompt + i, s, true);
      decode(batch);
      for (int s = 0; s < sequences; s++) last[s] = likeliest(s);
    }
    watch.answer(last);
    llama_batch_free(batch);
  }

 private:
  llama_model *model = nullptr;
  llama_context *context = nullptr;
  int vocabulary = 0, threads = 1, sequences = 0, capacity = 0;

  // A context with room for these sequences, empty.
  void use(int wanted_sequences, int positions) {
    if (context != nullptr && sequences == wanted_sequences && capacity >= positions) {
      llama_memory_clear(llama_get_memory(context), true);
      return;
    }
    if (context != nullptr) llama_free(context);
    sequences = wanted_sequences;
    capacity = positions;
    llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = (positions + 255) / 256 * 256 * sequences;
    parameters.n_seq_max = sequences;
    parameters.n_threads = threads;
    parameters.n_threads_batch = threads;
    context = llama_init_from_model(model, parameters);
    if (context == nullptr) std::exit(70);
  }

  llama_token token(int position, int sequence) const {
    return (7 * position + 13 * sequence + 1) % vocabulary;
  }

  static void add(llama_batch &batch, llama_token token, int position, int sequence, bool logits) {
    const int i = batch.n_tokens++;
    batch.token[i] = token;
    batch.pos[i] = position;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = sequence;
    batch.logits[i] = logits;
  }

  void decode(const llama_batch &batch) {
    if (llama_decode(context, batch) != 0) std::exit(70);
    llama_synchronize(context);
  }

  llama_token likeliest(int row) {
    const float *logits = llama_get_logits_ith(context, row);
    llama_token best = 0;
    for (int i = 1; i < vocabulary; i++)
      if (logits[i] > logits[best]) best = i;
    return best;
  }
};

// The number after "key": in a flat object. All requests are flat objects.
int number(const std::string &line, const std::string &key, int otherwise) {
  const size_t place = line.find("\"" + key + "\":");
  return place == std::string::npos ? otherwise : std::atoi(line.c_str() + place + key.size() + 3);
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: llama-peer MODEL.gguf [THREADS]\n");
    return 64;
  }
  llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
  llama_backend_init();
  const Stopwatch loading;
  Peer peer(arguments[1], count > 2 ? std::atoi(arguments[2]) : 2);
  loading.answer({});
  for (std::string line; std::getline(std::cin, line);) {
    if (line.find("\"prefill\"") != std::string::npos)
      peer.prefill(number(line, "tokens", 512));
    else if (line.find("\"decode\"") != std::string::npos)
      peer.generate(
          number(line, "tokens", 64), number(line, "batch", 1), number(line, "prompt", 16));
  }
}
