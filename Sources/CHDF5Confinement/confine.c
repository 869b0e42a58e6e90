#include "CHDF5Confinement.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

void sextant_close_others(void) {
#ifdef __NR_close_range
  if (syscall(__NR_close_range, SEXTANT_FILE_DESCRIPTOR + 1, ~0U, 0) == 0) return;
#endif
  const int count = getdtablesize();
  for (int descriptor = SEXTANT_FILE_DESCRIPTOR + 1; descriptor < count; descriptor++) {
    close(descriptor);
  }
}

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define REFUSE RETURN(SECCOMP_RET_ERRNO | EPERM)
#define ALLOW_NUMBER(number) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), RETURN(SECCOMP_RET_ALLOW)
#define ALLOW(call) ALLOW_NUMBER(__NR_##call)
// Arguments are 64 bits wide; both supported machines are little-endian, so the low word is first.
#define ALLOW_WITHOUT(call, argument, bits)                                                   \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 4), LOAD(args[argument]),               \
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), 0, 1), REFUSE, RETURN(SECCOMP_RET_ALLOW)

int sextant_confine(int writes) {
  // A number that no call has, if the file is only read.
  const unsigned pwrite_call = writes ? __NR_pwrite64 : ~0U;
  const unsigned ftruncate_call = writes ? __NR_ftruncate : ~0U;
  // The calls that libhdf5, malloc and the Swift runtime need once everything is loaded. They reach
  // beyond this process only through its three descriptors.
  struct sock_filter program[] = {
      LOAD(arch),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCHITECTURE, 1, 0),
      RETURN(SECCOMP_RET_KILL_PROCESS),
      LOAD(nr),
      ALLOW(read),
      ALLOW(pread64),
      ALLOW(write),
      ALLOW(writev),
      ALLOW(lseek),
      ALLOW_NUMBER(pwrite_call),
      ALLOW_NUMBER(ftruncate_call),
      ALLOW(close),
      ALLOW(brk),
      ALLOW(munmap),
      ALLOW(mremap),
      ALLOW(madvise),
      ALLOW(futex),
      ALLOW(getrandom),
      ALLOW(clock_gettime),
      ALLOW(gettimeofday),
      ALLOW(getpid),
      ALLOW(gettid),
      ALLOW(sched_yield),
      ALLOW(rt_sigprocmask),
      ALLOW(rt_sigreturn),
      ALLOW(exit),
      ALLOW(exit_group),
      ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
      ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
      // Process 0 is the caller: the limits of others, such as the parent's, stay out of reach.
      ALLOW_WITHOUT(prlimit64, 0, 0xFFFFFFFF),
      REFUSE,
  };
  struct sock_fprog filter = {
      .len = (unsigned short)(sizeof program / sizeof program[0]),
      .filter = program,
  };
  // No debugger attaches, no core is written, no set-uid program gives anything.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) return errno;
  return 0;
}

#else

int sextant_confine(int writes) {
  (void)writes;
  return ENOSYS;
}

#endif
