// What Swift cannot import from hdf5.h: macros that expand to expressions, and functions whose
// names are macros that differ between versions of the library.
#pragma once

#include <hdf5.h>
#include <stdint.h>
#include <string.h>

/// An empty list of file access properties, or a negative number.
static inline hid_t sextant_h5_file_access(void) { return H5Pcreate(H5P_FILE_ACCESS); }

/// An empty list of link access properties, or a negative number.
static inline hid_t sextant_h5_link_access(void) { return H5Pcreate(H5P_LINK_ACCESS); }

/// Opens a file for reading only.
static inline hid_t sextant_h5_open_file(const char *name, hid_t access) {
  return H5Fopen(name, H5F_ACC_RDONLY, access);
}

/// A maximum dimension that has no bound.
static inline hsize_t sextant_h5_unlimited(void) { return H5S_UNLIMITED; }

/// The number that tells one object of a file from all others, or a negative status.
static inline herr_t sextant_h5_object_address(hid_t object, uint64_t *address) {
#if H5_VERSION_GE(1, 12, 0)
  H5O_info2_t info;
  herr_t status = H5Oget_info3(object, &info, H5O_INFO_BASIC);
  // The native file format keeps the address in the first bytes of the token.
  if (status >= 0) memcpy(address, &info.token, sizeof *address);
#else
  H5O_info_t info;
  herr_t status = H5Oget_info2(object, &info, H5O_INFO_BASIC);
  if (status >= 0) *address = info.addr;
#endif
  return status;
}

/// Receives the name and the type (`H5L_type_t`) of one link; anything but 0 ends the walk.
typedef herr_t (*sextant_h5_link_visitor)(const char *name, int type, void *context);

typedef struct {
  sextant_h5_link_visitor visit;
  void *context;
} sextant_h5_link_walk;

#if H5_VERSION_GE(1, 12, 0)
static inline herr_t sextant_h5_visit_link(
    hid_t group, const char *name, const H5L_info2_t *info, void *walk) {
#else
static inline herr_t sextant_h5_visit_link(
    hid_t group, const char *name, const H5L_info_t *info, void *walk) {
#endif
  (void)group;
  const sextant_h5_link_walk *to = (const sextant_h5_link_walk *)walk;
  return to->visit(name, (int)info->type, to->context);
}

/// Hands each link of a group to `visit`; negative where the library fails, else what `visit` said.
static inline herr_t sextant_h5_visit_links(
    hid_t group, sextant_h5_link_visitor visit, void *context) {
  sextant_h5_link_walk walk = {visit, context};
#if H5_VERSION_GE(1, 12, 0)
  return H5Literate2(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, sextant_h5_visit_link, &walk);
#else
  return H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, sextant_h5_visit_link, &walk);
#endif
}
