// The confinement of the process that runs libhdf5 on a hostile file.
#pragma once

#include <hdf5.h>

/// The descriptor at which the process that starts the reader leaves the open file.
#define SEXTANT_FILE_DESCRIPTOR 3

/// Closes all descriptors except 0 to `SEXTANT_FILE_DESCRIPTOR`.
void sextant_close_others(void);

/// Limits the rest of the process's life to computing, memory and descriptors that are open already.
///
/// No code in this process can get a file, a socket, a process or executable memory any more. Calls
/// that are not allowed fail with EPERM.
///
/// With `writes`, open descriptors may also be written at any place and cut.
///
/// Returns 0, or the errno of the kernel that cannot do this.
int sextant_confine(int writes);

/// Sets the part of the descriptor's file that the driver shows: `size` bytes from `start` on.
void sextant_set_window(unsigned long long start, unsigned long long size);

/// A libhdf5 file driver that reads `SEXTANT_FILE_DESCRIPTOR` for any file name, and refuses to
/// read beyond the window that was set.
///
/// With `writable`, the driver makes a new file there instead.
///
/// Returns the driver's id, or a negative number.
hid_t sextant_descriptor_driver(int writable);
