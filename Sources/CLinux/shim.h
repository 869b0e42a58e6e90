// The declarations of <fcntl.h> for programs that define _GNU_SOURCE; Swift's Glibc does not define
// it.
#pragma once

#include <sys/types.h>

// Starts to write the changed pages of a part of a file (length 0: to its end) to the disk.
int sync_file_range(int descriptor, off_t offset, off_t length, unsigned int flags);

enum { CLINUX_SYNC_FILE_RANGE_WRITE = 2 };

// Sets a file's length and allocates its blocks (mode 0); bytes that are not written read as zero.
int fallocate(int descriptor, int mode, off_t offset, off_t length);
