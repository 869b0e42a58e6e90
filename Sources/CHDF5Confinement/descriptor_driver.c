#include "CHDF5Confinement.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 14, 0)
#include <H5FDdevelop.h>
#endif

typedef struct {
  H5FD_t base;  // The library's own fields, which must be first.
  haddr_t allocated;
  haddr_t size;
} descriptor_file;

// The part of the descriptor's file that is the HDF5 file.
static haddr_t window_start;
static haddr_t window_size;

void sextant_set_window(unsigned long long start, unsigned long long size) {
  window_start = start;
  window_size = size;
}

// Whether the file is written, and all of the descriptor's file is it.
static int is_writable;

static H5FD_t *open_descriptor(const char *name, unsigned flags, hid_t list, haddr_t limit) {
  (void)name;
  (void)list;
  (void)limit;
  if (!is_writable && flags != H5F_ACC_RDONLY) return NULL;
  descriptor_file *file = calloc(1, sizeof *file);
  if (file) file->size = window_size;
  return (H5FD_t *)file;
}

static herr_t close_descriptor(H5FD_t *file) {
  free(file);
  return 0;
}

static int compare(const H5FD_t *a, const H5FD_t *b) {
  (void)a;
  (void)b;
  return 0;  // There is but one file.
}

static herr_t query(const H5FD_t *file, unsigned long *features) {
  (void)file;
  if (features) *features = 0;
  return 0;
}

static haddr_t get_allocated(const H5FD_t *file, H5FD_mem_t type) {
  (void)type;
  return ((const descriptor_file *)file)->allocated;
}

static herr_t set_allocated(H5FD_t *file, H5FD_mem_t type, haddr_t address) {
  (void)type;
  ((descriptor_file *)file)->allocated = address;
  return 0;
}

static haddr_t get_size(const H5FD_t *file, H5FD_mem_t type) {
  (void)type;
  return ((const descriptor_file *)file)->size;
}

// The library's own driver returns zeros for bytes beyond the end, which would be taken for
// weights.
static herr_t read_bytes(
    H5FD_t *file, H5FD_mem_t type, hid_t list, haddr_t address, size_t count, void *buffer) {
  (void)type;
  (void)list;
  const haddr_t size = ((const descriptor_file *)file)->size;
  if (address > size || count > size - address) return -1;
  unsigned char *to = buffer;
  while (count > 0) {
    const ssize_t done = pread(SEXTANT_FILE_DESCRIPTOR, to, count, (off_t)(window_start + address));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return -1;
    to += done;
    address += (haddr_t)done;
    count -= (size_t)done;
  }
  return 0;
}

static herr_t write_bytes(
    H5FD_t *file, H5FD_mem_t type, hid_t list, haddr_t address, size_t count, const void *buffer) {
  (void)type;
  (void)list;
  if (!is_writable) return -1;
  const unsigned char *from = buffer;
  while (count > 0) {
    const ssize_t done = pwrite(SEXTANT_FILE_DESCRIPTOR, from, count, (off_t)address);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return -1;
    from += done;
    address += (haddr_t)done;
    count -= (size_t)done;
    if (address > ((descriptor_file *)file)->size) ((descriptor_file *)file)->size = address;
  }
  return 0;
}

// Called when the file is closed: space that was allocated and not written is part of the file,
// too.
static herr_t truncate_file(H5FD_t *file, hid_t list, hbool_t closing) {
  (void)list;
  (void)closing;
  descriptor_file *own = (descriptor_file *)file;
  if (!is_writable || own->size == own->allocated) return 0;
  if (ftruncate(SEXTANT_FILE_DESCRIPTOR, (off_t)own->allocated) != 0) return -1;
  own->size = own->allocated;
  return 0;
}

hid_t sextant_descriptor_driver(int writable) {
  is_writable = writable;
  static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 14, 0)
      .version = H5FD_CLASS_VERSION,
      .value = (H5FD_class_value_t)600,
#endif
      .name = "descriptor",
      .maxaddr = ((haddr_t)1 << 62) - 1,
      .fc_degree = H5F_CLOSE_STRONG,
      .open = open_descriptor,
      .close = close_descriptor,
      .cmp = compare,
      .query = query,
      .get_eoa = get_allocated,
      .set_eoa = set_allocated,
      .get_eof = get_size,
      .read = read_bytes,
      .write = write_bytes,
      .truncate = truncate_file,
      .fl_map = H5FD_FLMAP_SINGLE,
  };
  return H5FDregister(&driver);
}
