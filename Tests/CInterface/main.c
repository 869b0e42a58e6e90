// Uses every function of sextant.h on a model file, as a program in C does, and misuses handles.
//
//     CInterface MODEL FOLDER
//
// It prints what the tests compare with the library in Swift, and ends with status 1 at the first failure.
#include <pthread.h>
#include <sextant.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char output[] = "blocks.3.output", ssm[] = "blocks.3.state.ssm", prompt[] = "The film was";

static void check(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "failed: %s\n", what);
  exit(1);
}

static void ok(sextant_error *error) {
  if (error == NULL) return;
  fprintf(stderr, "%s\n%s\n%s\n", error->code, error->message, error->remedy);
  exit(1);
}

static void refused(sextant_error *error, const char *code) {
  if (error == NULL || strcmp(error->code, code) != 0) {
    fprintf(stderr, "expected %s, not %s\n", code, error ? error->code : "success");
    exit(1);
  }
  check(error->message[0] && error->remedy[0], "an error has a message and a remedy");
  sextant_error_free(error);
}

static sextant_array values(sextant_handle object, const char *name) {
  sextant_array array;
  ok(sextant_values(object, name, &array));
  return array;
}

static size_t elements(const sextant_array *array) {
  size_t count = 1;
  for (size_t axis = 0; axis < array->rank; axis++) count *= array->shape[axis];
  return count;
}

static int equal(sextant_handle a, sextant_handle b, const char *name) {
  sextant_array x = values(a, name), y = values(b, name);
  return elements(&x) == elements(&y) && memcmp(x.data, y.data, elements(&x) * sizeof(float)) == 0;
}

static char *path(const char *folder, const char *name) {
  char *path = malloc(strlen(folder) + strlen(name) + 2);
  sprintf(path, "%s/%s", folder, name);
  return path;
}

// The whole text of a run, without temperature.
static char *generated(sextant_model model, const char *prompt, sextant_state from, sextant_edits edits) {
  sextant_sampling sampling;
  sextant_sampling_default(&sampling);
  sampling.count = 8;
  sampling.temperature = 0;
  sextant_run run;
  ok(sextant_generate(model, prompt, from, edits, &sampling, &run));
  char *all = calloc(1, 1);
  for (;;) {
    int64_t token;
    char *text, *json;
    size_t length;
    ok(sextant_next(run, &token, &text, &length, &json));
    all = realloc(all, strlen(all) + length + 1);
    strcat(all, text);
    check(json[0] == '{', "a token has a record");
    sextant_free(text);
    sextant_free(json);
    if (token < 0) break;
  }
  char *json;
  ok(sextant_describe(run, &json));
  check(strstr(json, "\"ending\":\"count\"") != NULL, "a run has an ending");
  sextant_free(json);
  sextant_state after;
  ok(sextant_state_after(run, &after));
  ok(sextant_close(after));
  ok(sextant_close(run));
  return all;
}

// MARK: Taps

struct tap {
  int visits;
  float addition;
  int stops;
  sextant_run run;
};

static void add(void *context, sextant_visit *visit) {
  struct tap *tap = context;
  tap->visits++;
  size_t count = 1;
  for (size_t axis = 0; axis < visit->rank; axis++) count *= visit->shape[axis];
  for (size_t index = 0; index < count; index++) visit->values[index] += tap->addition;
  if (tap->run) {
    int64_t token;
    char *text;
    refused(sextant_next(tap->run, &token, &text, NULL, NULL), "usage.handle");
  }
  visit->done = !tap->stops;
}

static int poll(void *context) { return *(int *)context; }

// MARK: Two threads with one run

struct shared {
  sextant_run run;
  int ended;
};

static void *advance(void *context) {
  struct shared *shared = context;
  for (;;) {
    int64_t token;
    char *text;
    sextant_error *error = sextant_next(shared->run, &token, &text, NULL, NULL);
    if (error) {
      refused(error, "usage.handle");
      continue;
    }
    sextant_free(text);
    if (token < 0) return NULL;
  }
}

static void misuse(sextant_model model, sextant_recording recording, sextant_state state, const int64_t *tokens, size_t count) {
  sextant_handle closed, made;
  ok(sextant_edits_new(&closed));
  ok(sextant_close(closed));
  const sextant_handle bad[] = {closed, 0, 1, UINT64_MAX, 0xDEADBEEF00000000, recording};
  const char *const site[] = {output}, *const none[] = {"blocks.99.output"}, *const null[] = {NULL};
  const float *floats = values(state, ssm).data;
  sextant_array array;
  char *json;
  for (size_t index = 0; index < COUNT(bad); index++) {
    sextant_handle h = bad[index];
    if (h != recording) {
      refused(sextant_close(h), "usage.handle");
      refused(sextant_describe(h, &json), "usage.handle");
      refused(sextant_values(h, output, &array), "usage.handle");
      refused(sextant_state_after(h, &made), "usage.handle");
    }
    refused(sextant_encode(h, prompt, false, (int64_t **)&json, &count), "usage.handle");
    refused(sextant_decode(h, tokens, 1, &json, NULL), "usage.handle");
    refused(sextant_read(h, tokens, 1, 0, 0, &made), "usage.handle");
    refused(sextant_record(h, tokens, 1, 0, 0, site, 1, NULL, false, &made), "usage.handle");
    refused(sextant_generate(h, prompt, 0, 0, NULL, &made), "usage.handle");
    refused(sextant_next(h, (int64_t *)&made, &json, NULL, NULL), "usage.handle");
    refused(sextant_state_set(h, ssm, floats, 1, &made), "usage.handle");
    refused(sextant_artifact_save(h, "unused", false), "usage.handle");
    refused(sextant_edits_tap(h, site, 1, add, NULL), "usage.handle");
    if (h != 0) refused(sextant_read(model, tokens, 1, h, 0, &made), "usage.handle");
    if (h != 0) refused(sextant_read(model, tokens, 1, 0, h, &made), "usage.handle");
  }
  // Null, and numbers that are out of range.
  const int64_t huge[] = {1 << 30};
  refused(sextant_open(NULL, NULL, NULL, &made), "usage.option");
  refused(sextant_open("missing", NULL, NULL, NULL), "usage.option");
  refused(sextant_open("missing", NULL, NULL, &made), "file.missing");
  refused(sextant_open("\xff", NULL, NULL, &made), "usage.option");
  refused(sextant_read(model, NULL, 3, 0, 0, &made), "usage.option");
  refused(sextant_read(model, tokens, 0, 0, 0, &made), "data.record");
  refused(sextant_read(model, tokens, SIZE_MAX, 0, 0, &made), "usage.option");
  refused(sextant_read(model, huge, 1, 0, 0, &made), "model.token");
  refused(sextant_record(model, tokens, 1, 0, 0, none, 1, NULL, false, &made), "artifact.site");
  refused(sextant_record(model, tokens, 1, 0, 0, null, 1, NULL, false, &made), "usage.option");
  refused(sextant_record(model, tokens, 1, 0, 0, site, 1, "1,5", false, &made), "usage.option");
  refused(sextant_values(recording, "logits", &array), "artifact.site");
  refused(sextant_values(model, "logits", &array), "usage.handle");
  // A wrong shape.
  refused(sextant_state_set(state, ssm, floats, 7, &made), "model.state");
  refused(sextant_state_set(state, output, floats, 7, &made), "model.state");
  sextant_edits edits;
  ok(sextant_edits_new(&edits));
  ok(sextant_edits_add(edits, output, floats, 3, 1, false, NULL));
  refused(sextant_generate(model, prompt, 0, edits, NULL, &made), "artifact.width");
  ok(sextant_close(edits));
  ok(sextant_edits_new(&edits));
  ok(sextant_edits_tap(edits, none, 1, add, NULL));
  refused(sextant_generate(model, prompt, 0, edits, NULL, &made), "artifact.site");
  ok(sextant_close(edits));
}

int main(int argc, char **argv) {
  check(argc == 3, "CInterface MODEL FOLDER");
  const char *folder = argv[2];
  int wants_end = 0;
  sextant_model model;
  ok(sextant_open(argv[1], poll, &wants_end, &model));
  char *json;
  ok(sextant_build(&json));
  check(strncmp(json, sextant_version(), strlen(sextant_version())) == 0, "the build begins with the version");
  sextant_free(json);
  ok(sextant_describe(model, &json));
  check(strstr(json, "\"architecture\":\"mamba\"") != NULL, "a model is described");
  sextant_free(json);

  // Tokens.
  int64_t *tokens;
  size_t count, length;
  char *text;
  ok(sextant_encode(model, prompt, false, &tokens, &count));
  ok(sextant_decode(model, tokens, count, &text, &length));
  check(strcmp(text, prompt) == 0 && length == strlen(prompt), "tokens become the text again");
  sextant_free(text);

  // Recordings and states.
  const char *const sites[] = {output, ssm};
  sextant_recording recording;
  ok(sextant_record(model, tokens, count, 0, 0, sites, 2, NULL, false, &recording));
  sextant_array out = values(recording, output);
  check(out.rank == 2 && out.shape[0] == count && out.type == SEXTANT_F32, "[T, D]");
  double sum = 0;
  for (size_t index = 0; index < elements(&out); index++) sum += ((const float *)out.data)[index];
  printf("sum: %.17g\n", sum);
  sextant_state first, both, after;
  ok(sextant_read(model, tokens, 1, 0, 0, &first));
  ok(sextant_read(model, tokens + 1, count - 1, first, 0, &both));
  check(equal(both, recording, ssm), "a text in two parts has the same state");
  ok(sextant_state_after(recording, &after));
  check(equal(after, both, ssm), "a recording has its state");
  sextant_recording rest;
  ok(sextant_record(model, tokens + 1, count - 1, first, 0, sites, 2, NULL, true, &rest));
  sextant_array each = values(rest, ssm), last = values(both, ssm);
  check(each.shape[0] == count - 1, "[T, …] after each token");
  check(memcmp((const float *)each.data + elements(&each) - elements(&last), last.data, elements(&last) * sizeof(float)) == 0,
        "the last of them is the state");

  // A state that is changed, combined, saved and loaded.
  float *halved = malloc(elements(&last) * sizeof(float));
  for (size_t index = 0; index < elements(&last); index++) halved[index] = ((const float *)last.data)[index] / 2;
  sextant_state changed, total, loaded;
  ok(sextant_state_set(both, ssm, halved, elements(&last), &changed));
  check(!equal(changed, both, ssm), "a changed state differs, and the other stays");
  check(memcmp(values(changed, ssm).data, halved, elements(&last) * sizeof(float)) == 0, "it has the values");
  ok(sextant_state_sum(model, (sextant_state[]){both, changed}, (float[]){2, -2}, 2, &total));
  check(equal(total, both, ssm), "a sum of states");
  ok(sextant_state_save(model, both, path(folder, "c.state.safetensors"), true));
  refused(sextant_state_save(model, both, path(folder, "c.state.safetensors"), false), "file.exists");
  ok(sextant_state_load(model, path(folder, "c.state.safetensors"), &loaded));
  check(equal(loaded, both, ssm), "a state that was loaded");

  // Edits. A tap that adds is the same as the direction.
  char *plain = generated(model, prompt, 0, 0);
  printf("plain: %s\n", plain);
  sextant_edits tapped, added, nothing;
  struct tap tap = {.addition = 0.25f};
  ok(sextant_edits_new(&tapped));
  ok(sextant_edits_tap(tapped, sites, 1, add, &tap));
  float *direction = malloc(out.shape[1] * sizeof(float));
  for (size_t index = 0; index < out.shape[1]; index++) direction[index] = 1;
  ok(sextant_edits_new(&added));
  ok(sextant_edits_add(added, output, direction, out.shape[1], 0.25f, false, "all"));
  char *with_tap = generated(model, prompt, 0, tapped), *with_direction = generated(model, prompt, 0, added);
  check(strcmp(with_tap, with_direction) == 0 && strcmp(with_tap, plain) != 0, "a tap that adds");
  check(tap.visits == 9, "a visit for the prompt, and one for each token");
  printf("added: %s\n", with_tap);
  sextant_recording edited, by_tap;
  ok(sextant_record(model, tokens, count, 0, added, sites, 1, NULL, false, &edited));
  ok(sextant_record(model, tokens, count, 0, tapped, sites, 1, NULL, false, &by_tap));
  check(equal(edited, by_tap, output), "recorded after the edits");
  ok(sextant_edits_new(&nothing));
  ok(sextant_edits_project(nothing, output, direction, out.shape[1], 0, NULL));
  char *unchanged = generated(model, prompt, 0, nothing);
  check(strcmp(unchanged, plain) == 0, "share 0 changes nothing");

  // A tap and a poll that stop a run, and a run that is used inside its own tap.
  sextant_run run;
  int64_t token;
  tap.stops = 1;
  ok(sextant_generate(model, prompt, 0, tapped, NULL, &run));
  refused(sextant_next(run, &token, &text, NULL, NULL), "usage.stopped");
  ok(sextant_close(run));
  tap.stops = 0;
  ok(sextant_generate(model, prompt, 0, tapped, NULL, &run));
  tap.run = run;
  ok(sextant_next(run, &token, &text, NULL, NULL));
  sextant_free(text);
  ok(sextant_close(run));
  tap.run = 0;

  // One run in two threads: each call works or is refused.
  struct shared shared = {0};
  ok(sextant_generate(model, prompt, 0, 0, NULL, &shared.run));
  pthread_t threads[2];
  for (int index = 0; index < 2; index++) pthread_create(&threads[index], NULL, advance, &shared);
  for (int index = 0; index < 2; index++) pthread_join(threads[index], NULL);
  ok(sextant_close(shared.run));

  // Artifacts.
  const char *const praise[] = {"The film was superb.", "The story was superb.", "The cast was superb.", "The music was superb."};
  const char *const blame[] = {"The film was boring.", "The story was boring.", "The cast was boring.", "The music was boring."};
  const char *texts[8];
  bool labels[8];
  for (int index = 0; index < 8; index++) {
    labels[index] = index % 2;
    texts[index] = labels[index] ? praise[index / 2] : blame[index / 2];
  }
  const sextant_training where = {.layers = "3"}, how = {.layers = "3", .method = "mean-diff"};
  sextant_artifact vector, again, probe, lens;
  ok(sextant_train_vector(model, praise, blame, 4, &where, &vector));
  ok(sextant_artifact_save(vector, path(folder, "c.steer.safetensors"), true));
  ok(sextant_artifact_load(path(folder, "c.steer.safetensors"), &again));
  check(equal(vector, again, output), "a vector that was loaded");
  ok(sextant_describe(again, &json));
  check(strstr(json, "\"kind\":\"steering") != NULL, "an artifact is described");
  sextant_free(json);
  sextant_edits steered;
  ok(sextant_edits_new(&steered));
  ok(sextant_edits_apply(steered, again, "2", "3", NULL));
  refused(sextant_edits_apply(steered, again, "two", NULL, NULL), "usage.option");
  printf("steered: %s\n", generated(model, prompt, 0, steered));
  ok(sextant_train_probe(model, texts, labels, 8, &how, &probe));
  ok(sextant_evaluate_probe(model, probe, texts, labels, 8, &json));
  check(strstr(json, "\"accuracy\":1") != NULL, "a probe reads its records");
  sextant_free(json);
  ok(sextant_edits_apply(steered, probe, NULL, NULL, NULL));
  sextant_free(generated(model, prompt, 0, steered));
  char *html;
  ok(sextant_lens_grid(model, 0, prompt, 3, &json, &html));
  check(json[0] == '{' && strstr(html, "<html") != NULL, "a page of the lens");
  sextant_free(json);
  sextant_free(html);
  refused(sextant_lens_grid(model, vector, prompt, 3, &json, &html), "artifact.kind");
  refused(sextant_train_lens(model, praise, 1, "unheard-of", &lens), "usage.option");
  refused(sextant_train_lens(model, praise, 0, NULL, &lens), "data.empty");

  misuse(model, recording, both, tokens, count);

  // The poll ends what runs.
  wants_end = 1;
  sextant_error *error = NULL;
  for (int tries = 0; tries < 1000000 && error == NULL; tries++) {
    error = sextant_read(model, tokens, count, 0, 0, &after);
    if (error == NULL) ok(sextant_close(after));
  }
  refused(error, "usage.stopped");
  wants_end = 0;

  // Objects of a closed model stay, and it cannot be used any more.
  ok(sextant_close(model));
  refused(sextant_close(model), "usage.handle");
  check(values(recording, output).data == out.data, "a recording of a closed model");
  refused(sextant_read(model, tokens, 1, 0, 0, &after), "usage.handle");
  sextant_free(tokens);
  puts("done");
  return 0;
}
