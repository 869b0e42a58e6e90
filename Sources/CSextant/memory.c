#include <stdlib.h>
#include <string.h>

#include "sextant.h"
#include "sextant_memory.h"

static sextant_error no_memory = {"system.memory", "There is too little memory for this error.", "Free memory."};

sextant_error *sextant_error_make(const char *code, const char *message, const char *remedy) {
  const size_t sizes[3] = {strlen(code) + 1, strlen(message) + 1, strlen(remedy) + 1};
  // One block: the struct, then its strings.
  sextant_error *error = malloc(sizeof *error + sizes[0] + sizes[1] + sizes[2]);
  if (error == NULL) return &no_memory;
  char *place = (char *)(error + 1);
  error->code = memcpy(place, code, sizes[0]);
  error->message = memcpy(place + sizes[0], message, sizes[1]);
  error->remedy = memcpy(place + sizes[0] + sizes[1], remedy, sizes[2]);
  return error;
}

void sextant_error_free(sextant_error *error) {
  if (error != &no_memory) free(error);
}

void sextant_free(void *memory) { free(memory); }

void sextant_sampling_default(sextant_sampling *sampling) {
  if (sampling == NULL) return;
  *sampling = (sextant_sampling){.count = 64, .temperature = 0.8f, .top_p = 1, .repetition_penalty = 1};
}
