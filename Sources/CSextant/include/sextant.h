/// Sextant for C: open a model, run it, record and edit what it computes, generate, train.
///
/// Everything is a handle: a number, never a pointer. A handle that is closed, of another kind, or made up gives an error, and is
/// never followed. Objects do not change once they are made, with two exceptions: a list of edits grows, and a run advances. Any
/// thread may use any object. A run that is in use by one thread gives an error to another. A call that is in progress keeps its
/// objects, so that they may be closed at any time.
///
/// Functions that can fail return null, or an error to be freed with `sextant_error_free`. Results are written through the last
/// parameters, and only without an error. Strings are UTF-8. Strings and arrays that a function allocates are freed with
/// `sextant_free`. Blocks are counted from 0. Shapes are in square brackets: T tokens, D the width of the residual stream.
///
/// `docs/python.md` shows the same functions in Python. `formats/` specifies sites, files and error codes.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Errors and memory

/// What is wrong, and what helps.
typedef struct sextant_error {
  /// A stable name, such as `file.missing`: `formats/refusal-codes.md` lists them.
  const char *code;
  /// What was found and what was expected, for people; several lines.
  const char *message;
  /// What to do.
  const char *remedy;
} sextant_error;

/// Frees an error; null is fine.
void sextant_error_free(sextant_error *error);

/// Frees a string or an array that a function allocated; null is fine.
void sextant_free(void *memory);

// MARK: Version

/// The version of the library, such as `0.2.0`. It is never freed.
const char *sextant_version(void);

/// The version, the commit, the level of the kernels and OpenBLAS's kernels, one fact per line. The first call loads OpenBLAS.
sextant_error *sextant_build(char **text);

// MARK: Objects

/// An object; 0 is none.
typedef uint64_t sextant_handle;

typedef sextant_handle sextant_model;      ///< A model and its tokenizer.
typedef sextant_handle sextant_state;      ///< What a model remembers of the tokens that it has read.
typedef sextant_handle sextant_recording;  ///< Values of some sites while a text was read.
typedef sextant_handle sextant_artifact;   ///< A steering vector, a probe, a lens or an eraser.
typedef sextant_handle sextant_edits;      ///< An ordered list of what acts on a run.
typedef sextant_handle sextant_run;        ///< A text while it is generated.

/// Closes an object of any kind. Its arrays are gone. `usage.handle` for a handle that is closed already.
sextant_error *sextant_close(sextant_handle object);

/// What an object is, as JSON:
/// model: architecture, identity, width, layers, vocabulary, has_tokenizer, sites (site, shape, axes, grows, read_only);
/// state: position, sites; recording: tokens, pieces, sites; artifact: kind, sites, tensors, details (the members that
/// its kind adds to the manifest);
/// run: text, tokens, ending (null while it continues), edits; a list of edits: count.
sextant_error *sextant_describe(sextant_handle object, char **json);

/// The type of the elements of an array.
typedef enum sextant_type {
  SEXTANT_F32 = 0,
  SEXTANT_F64 = 1,
  SEXTANT_I64 = 2,
} sextant_type;

enum { SEXTANT_MAX_RANK = 8 };

/// An array in row-major order, which belongs to an object.
typedef struct sextant_array {
  /// Valid until the object is closed. Not to be written.
  const void *data;
  sextant_type type;
  size_t rank;
  /// The first `rank` numbers.
  size_t shape[SEXTANT_MAX_RANK];
} sextant_array;

/// A value of a recording or a state by its site, or a tensor of an artifact by its name. Nothing is copied.
///
/// Of a recording: [T, D] at the residual stream, [T, V] at `logits`, the shape of the component at a state. Of a state: the shape of
/// the component; keys and values have the axis of positions first.
sextant_error *sextant_values(sextant_handle object, const char *name, sextant_array *array);

// MARK: Models

/// Asked about ten times per second while a model runs, by the thread that runs it. Not 0 ends the call with `usage.stopped`.
typedef int (*sextant_poll)(void *context);

/// Converts a checkpoint (a folder in Hugging Face layout, .safetensors, .pth, .h5, .npz or .gguf) to a model file.
sextant_error *sextant_convert(const char *checkpoint, const char *path, bool replace);

/// Opens a model file. The weights are mapped, not read. `poll` may be null.
sextant_error *sextant_open(const char *path, sextant_poll poll, void *context, sextant_model *model);

/// The ids of a text; with `continues`, without the tokens that begin one.
sextant_error *sextant_encode(sextant_model model, const char *text, bool continues, int64_t **tokens, size_t *count);

/// The text of ids, and its length in bytes; `length` may be null.
sextant_error *sextant_decode(sextant_model model, const int64_t *tokens, size_t count, char **text, size_t *length);

// MARK: Runs over given tokens

/// Reads tokens: the state after them.
///
/// `from` is the state to start from, and `edits` what acts on the run; 0 for none.
sextant_error *sextant_read(sextant_model model, const int64_t *tokens, size_t count, sextant_state from, sextant_edits edits,
                            sextant_state *state);

/// Reads tokens and keeps values, after the edits.
///
/// `sites` are names of sites, names with `*` for every block, `residual`, `state` or `all`. `layers` keeps blocks, such as `2-4`;
/// null keeps all. With `each`, a state has the axis of tokens first; otherwise it is the one after the last token.
sextant_error *sextant_record(sextant_model model, const int64_t *tokens, size_t count, sextant_state from, sextant_edits edits,
                              const char *const *sites, size_t site_count, const char *layers, bool each,
                              sextant_recording *recording);

/// The state after the last token of a recording, or after what a run has read so far.
sextant_error *sextant_state_after(sextant_handle object, sextant_state *state);

// MARK: States. A state never changes, so that it can be continued any number of times.

/// The state with another value at a site, of `count` elements in the shape of `sextant_values`.
sextant_error *sextant_state_set(sextant_state state, const char *site, const float *values, size_t count, sextant_state *changed);

/// The sum of states, each times its factor. The first gives the position. A factor of 0 leaves a state out.
sextant_error *sextant_state_sum(sextant_model model, const sextant_state *states, const float *factors, size_t count,
                                 sextant_state *sum);

sextant_error *sextant_state_save(sextant_model model, sextant_state state, const char *path, bool replace);

/// A state that was saved by the same model.
sextant_error *sextant_state_load(sextant_model model, const char *path, sextant_state *state);

// MARK: Edits, in the order in which they are added

sextant_error *sextant_edits_new(sextant_edits *edits);

/// Applies an artifact. Vectors and erasers edit; probes and lenses report.
///
/// `strength` is `2`, `10%`, `0.1nats` or `3=1.5,5-7=0.5`; null for 1. `layers` chooses blocks, `positions` tokens
/// (`formats/steering.md`); null for the artifact's own.
sextant_error *sextant_edits_apply(sextant_edits edits, sextant_artifact artifact, const char *strength, const char *layers,
                                   const char *positions);

/// Adds strength · direction at a site: `count` elements, those of one value of the site. With `share`, the strength is a share of
/// the value's norm. `positions` null: the prompt's last token and all after it.
sextant_error *sextant_edits_add(sextant_edits edits, const char *site, const float *direction, size_t count, float strength,
                                 bool share, const char *positions);

/// Removes the part of the value along a direction, times `share`. `positions` null: all tokens.
sextant_error *sextant_edits_project(sextant_edits edits, const char *site, const float *direction, size_t count, float share,
                                     const char *positions);

/// A value that a run shows to a tap.
typedef struct sextant_visit {
  const char *site;
  /// The value, which may be changed: [T, D] for T tokens, [1, V] for the logits, [1, …] for a component of the state, which the
  /// next token reads. Valid during the call.
  float *values;
  size_t rank;
  const size_t *shape;
  /// The position of the first of the T tokens in the text.
  int64_t position;
  /// False before the call. The tap sets it; a tap that returns without it ends the run with `usage.stopped`.
  bool done;
} sextant_visit;

/// Called by the thread that runs the model, with the context of `sextant_edits_tap`.
typedef void (*sextant_tap)(void *context, sextant_visit *visit);

/// Calls a function at some sites of every run that uses the list.
sextant_error *sextant_edits_tap(sextant_edits edits, const char *const *sites, size_t site_count, sextant_tap tap, void *context);

// MARK: Generation

/// How tokens are chosen. `sextant_sampling_default` sets the defaults of `sextant generate`.
typedef struct sextant_sampling {
  size_t count;              ///< Tokens at most: 64.
  float temperature;         ///< 0 takes the most probable token: 0.8.
  size_t top_k;              ///< 0 for all.
  float top_p;               ///< 1 for all.
  float min_p;               ///< 0 for all.
  float repetition_penalty;  ///< 1 for none.
  uint64_t seed;             ///< 0.
  const char *const *stops;  ///< Texts that end the text before them.
  size_t stop_count;
  bool ignores_end;  ///< Go on after the token that ends a text.
} sextant_sampling;

void sextant_sampling_default(sextant_sampling *sampling);

/// Starts to continue a prompt: everything is checked, and nothing is computed yet. `sampling` null: the defaults.
sextant_error *sextant_generate(sextant_model model, const char *prompt, sextant_state from, sextant_edits edits,
                                const sextant_sampling *sampling, sextant_run *run);

/// Chooses and reads the next token.
///
/// `token` becomes its id, or -1 at the end. `text` becomes what it adds to the text, and `length` the number of its bytes; a 0 may be
/// among them. `json` becomes the effects of edits and the reports of probes and lenses at this token: edits (site, before, after),
/// reports (item, and the report). `length` and `json` may be null.
sextant_error *sextant_next(sextant_run run, int64_t *token, char **text, size_t *length, char **json);

// MARK: Artifacts

sextant_error *sextant_artifact_load(const char *path, sextant_artifact *artifact);
sextant_error *sextant_artifact_save(sextant_artifact artifact, const char *path, bool replace);

/// What is trained, and where. A null is the default of the command line.
typedef struct sextant_training {
  const char *sites;      ///< As for `sextant_record`, joined by commas: `residual`.
  const char *layers;     ///< Blocks, such as `3` or `2-4`: all.
  const char *method;     ///< Vectors: `mean`, `lda`, `pca`, …. Probes: `lr`, `mean-diff`, `lda`, …, joined by commas.
  const char *positions;  ///< The tokens that are read: `last`.
} sextant_training;

/// A steering vector from pairs of texts. `training` may be null.
sextant_error *sextant_train_vector(sextant_model model, const char *const *positive, const char *const *negative, size_t count,
                                    const sextant_training *training, sextant_artifact *vector);

/// Probes from texts with labels. `training` may be null.
sextant_error *sextant_train_probe(sextant_model model, const char *const *texts, const bool *labels, size_t count,
                                   const sextant_training *training, sextant_artifact *probe);

/// How well probes read a label, as JSON: the figures of `sextant probe eval`.
sextant_error *sextant_evaluate_probe(sextant_model model, sextant_artifact probe, const char *const *texts, const bool *labels,
                                      size_t count, char **json);

/// A lens from texts. `method` is `ridge` or `tuned`; null for `ridge`.
sextant_error *sextant_train_lens(sextant_model model, const char *const *texts, size_t count, const char *method,
                                  sextant_artifact *lens);

/// The prediction of each block after each token of a text, as JSON and as a page of HTML. `lens` 0: the logit lens alone. Either
/// result may be null.
sextant_error *sextant_lens_grid(sextant_model model, sextant_artifact lens, const char *text, size_t guesses, char **json,
                                 char **html);

#ifdef __cplusplus
}
#endif
