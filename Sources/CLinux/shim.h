// What <fcntl.h> declares for programs that define _GNU_SOURCE, which Swift's Glibc does not.
#pragma once

#include <sys/types.h>

// Starts to write the changed pages of a part of a file (length 0: to its end) to the disk.
int sync_file_range(int descriptor, off_t offset, off_t length, unsigned int flags);

enum { CLINUX_SYNC_FILE_RANGE_WRITE = 2 };

// Gives a file its length and its place on the disk (mode 0); what is not written reads as zero.
int fallocate(int descriptor, int mode, off_t offset, off_t length);
