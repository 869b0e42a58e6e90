#pragma once

// OpenSSL's own advice is its EVP interface, whose state nobody but itself can go on with.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
