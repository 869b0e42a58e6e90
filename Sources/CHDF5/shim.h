// The parts of hdf5.h that Swift cannot import: macros that expand to expressions, and functions
// whose names are macros that differ between versions of the library.
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

/// Makes a file.
static inline hid_t sextant_h5_create_file(const char *name, hid_t access) {
  return H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
}

/// An empty list of dataset creation properties, or a negative number.
static inline hid_t sextant_h5_dataset_creation(void) { return H5Pcreate(H5P_DATASET_CREATE); }

/// An empty list of link creation properties, or a negative number.
static inline hid_t sextant_h5_link_creation(void) { return H5Pcreate(H5P_LINK_CREATE); }

/// The type of texts of any length in UTF-8, or a negative number.
static inline hid_t sextant_h5_text_type(void) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  if (type < 0) return type;
  if (H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0) return -1;
  return type;
}

/// A little-endian number type by the name that the main process uses, or a negative number.
static inline hid_t sextant_h5_new_type(const char *name) {
  if (strcmp(name, "F64") == 0) return H5Tcopy(H5T_IEEE_F64LE);
  if (strcmp(name, "F32") == 0) return H5Tcopy(H5T_IEEE_F32LE);
  if (strcmp(name, "BF16") == 0) return H5Tcreate(H5T_OPAQUE, 2);
  if (strcmp(name, "F16") != 0) return -1;
  const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  if (type < 0 || H5Tset_fields(type, 15, 10, 5, 0, 10) < 0 || H5Tset_size(type, 2) < 0 ||
      H5Tset_ebias(type, 15) < 0)
    return -1;
  return type;
}

/// A maximum dimension that has no bound.
static inline hsize_t sextant_h5_unlimited(void) { return H5S_UNLIMITED; }

/// The number that identifies an object of a file, or a negative status.
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

/// Passes each link of a group to `visit`; negative if the library fails, else the result of
/// `visit`.
static inline herr_t sextant_h5_visit_links(
    hid_t group, sextant_h5_link_visitor visit, void *context) {
  sextant_h5_link_walk walk = {visit, context};
#if H5_VERSION_GE(1, 12, 0)
  return H5Literate2(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, sextant_h5_visit_link, &walk);
#else
  return H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, sextant_h5_visit_link, &walk);
#endif
}
