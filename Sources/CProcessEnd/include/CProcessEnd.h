// Failures that no caller can handle, and how the process ends with them.
//
// Memory that runs out inside the Swift runtime, and a mapped file that is truncated, would end the
// process by a signal. A program that calls `sextant_end_in_order` ends with a message and an exit
// status instead. A program that does not call it keeps the usual behaviour.
#pragma once

#include <stddef.h>

/// The messages and status with which the process ends. Each message has a text before and after
/// the part that is known only then.
struct sextant_endings {
  /// The message for memory, around the number of bytes.
  const char *memory[2];
  /// The message for a mapped file that was cut, around its name.
  const char *file[2];
  /// The message for a library that cannot be loaded, around the loader's reason.
  const char *library[2];
  /// The exit status.
  int status;
  /// Runs before the process ends; limited to calls that are safe in a signal handler.
  void (*cleanup)(void);
};

/// Makes the process end with `endings` from now on. The texts are copied.
void sextant_end_in_order(struct sextant_endings endings);

/// Ends the process because `byte_count` bytes of memory could not be allocated. Returns if
/// `sextant_end_in_order` was not called.
void sextant_end_without_memory(size_t byte_count);

/// Records a mapped file, so that a lost page of it can be named. `name` is copied.
void sextant_remember_mapping(const void *base, size_t byte_count, const char *name);

/// Removes the record of a mapped file that is about to be unmapped.
void sextant_forget_mapping(const void *base);

/// Ends the process because a library cannot be loaded. Returns if `sextant_end_in_order` was not
/// called.
void sextant_end_without_library(const char *reason);
