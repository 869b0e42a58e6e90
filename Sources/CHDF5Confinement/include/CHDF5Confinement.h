// What confines the process that runs libhdf5 on a hostile file.
#pragma once

#include <hdf5.h>

/// The descriptor at which the process that starts the reader leaves the open file.
#define SEXTANT_FILE_DESCRIPTOR 3

/// Closes all descriptors but 0 to `SEXTANT_FILE_DESCRIPTOR`.
void sextant_close_others(void);

/// Limits the rest of the process's life to computing, memory and descriptors that are open already.
///
/// No file, socket, process or executable memory can be had any more, by whatever code runs here.
/// Calls that are not allowed fail with EPERM.
///
/// With `writes`, open descriptors may also be written at any place and cut.
///
/// Returns 0, or the errno of the kernel that cannot do this.
int sextant_confine(int writes);

/// Sets what the driver shows of the descriptor's file: `size` bytes from `start` on.
void sextant_set_window(unsigned long long start, unsigned long long size);

/// A libhdf5 file driver that reads `SEXTANT_FILE_DESCRIPTOR`, whatever file name it is given, and
/// refuses to read beyond the window that was set.
///
/// With `writable`, the driver makes a new file there instead.
///
/// Returns the driver's id, or a negative number.
hid_t sextant_descriptor_driver(int writable);
