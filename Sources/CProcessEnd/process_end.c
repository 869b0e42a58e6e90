#include "CProcessEnd.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// MARK: Mapped files

// A list that only grows: the handler of a signal walks it at any moment. A place whose `base` is 0 is
// free and is used again.
struct mapping {
  _Atomic(uintptr_t) base;
  _Atomic(size_t) byte_count;
  _Atomic(char *) name;
  struct mapping *_Atomic next;
};

static struct mapping *_Atomic mappings;
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;

void sextant_remember_mapping(const void *base, size_t byte_count, const char *name) {
  char *copy = strdup(name);
  if (copy == NULL) return;
  pthread_mutex_lock(&mappings_lock);
  struct mapping *place = atomic_load(&mappings);
  while (place != NULL && atomic_load(&place->base) != 0) place = atomic_load(&place->next);
  const int is_new = place == NULL;
  if (is_new) place = calloc(1, sizeof *place);
  if (place == NULL) {
    free(copy);
  } else {
    atomic_store(&place->name, copy);
    atomic_store(&place->byte_count, byte_count);
    atomic_store(&place->base, (uintptr_t)base);
    if (is_new) {
      atomic_store(&place->next, atomic_load(&mappings));
      atomic_store(&mappings, place);
    }
  }
  pthread_mutex_unlock(&mappings_lock);
}

void sextant_forget_mapping(const void *base) {
  pthread_mutex_lock(&mappings_lock);
  for (struct mapping *place = atomic_load(&mappings); place != NULL;
       place = atomic_load(&place->next)) {
    if (atomic_load(&place->base) != (uintptr_t)base) continue;
    atomic_store(&place->base, 0);
    free(atomic_exchange(&place->name, NULL));
    break;
  }
  pthread_mutex_unlock(&mappings_lock);
}

static const char *mapped_name(uintptr_t address) {
  for (struct mapping *place = atomic_load(&mappings); place != NULL;
       place = atomic_load(&place->next)) {
    const uintptr_t base = atomic_load(&place->base);
    if (base != 0 && address >= base && address - base < atomic_load(&place->byte_count)) {
      return atomic_load(&place->name);
    }
  }
  return NULL;
}

// MARK: The end

static struct sextant_endings endings;
static atomic_bool is_set;

static void say(const char *text) {
  size_t rest = strlen(text);
  while (rest > 0) {
    const ssize_t count = write(STDERR_FILENO, text, rest);
    if (count <= 0) return;
    text += count;
    rest -= (size_t)count;
  }
}

static void say_number(size_t number) {
  char digits[24];
  size_t place = sizeof digits - 1;
  digits[place] = 0;
  do {
    digits[--place] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  say(digits + place);
}

static _Noreturn void end(void) {
  if (endings.cleanup != NULL) endings.cleanup();
  _exit(endings.status);
}

void sextant_end_without_memory(size_t byte_count) {
  if (!atomic_load(&is_set)) return;
  say(endings.memory[0]);
  say_number(byte_count);
  say(endings.memory[1]);
  end();
}

void sextant_end_without_library(const char *reason) {
  if (!atomic_load(&is_set)) return;
  say(endings.library[0]);
  say(reason);
  say(endings.library[1]);
  end();
}

static void lost_page(int number, siginfo_t *information, void *context) {
  (void)context;
  const char *name = mapped_name((uintptr_t)information->si_addr);
  if (name == NULL) {
    // Not a page of a mapped file: the instruction runs again and meets the default action.
    signal(number, SIG_DFL);
    return;
  }
  say(endings.file[0]);
  say(name);
  say(endings.file[1]);
  end();
}

void sextant_end_in_order(struct sextant_endings wanted) {
  endings = wanted;
  for (int part = 0; part < 2; part++) {
    endings.memory[part] = strdup(wanted.memory[part]);
    endings.file[part] = strdup(wanted.file[part]);
    endings.library[part] = strdup(wanted.library[part]);
    if (!endings.memory[part] || !endings.file[part] || !endings.library[part]) return;
  }
  atomic_store(&is_set, 1);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = lost_page;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, NULL);
}
