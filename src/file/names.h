/* Sets of names from untrusted files: constant time per name whatever the names are. */
#ifndef LP_FILE_NAMES_H
#define LP_FILE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/gguf.h>
#include <lowp/status.h>

/* Distinct names, numbered 0, 1, ... in order of arrival. Zero-initialised is empty and valid. */
typedef struct lp_names {
    lp_string *name;  /* [capacity], n in use; the bytes belong to the caller and must outlive the set */
    uint64_t *slot;   /* [2 * capacity] high half: hash, low half: number + 1; 0: free */
    uint32_t n, capacity;
    uint64_t seed[2]; /* of the hash; drawn once per set, so that a file cannot be made to collide */
} lp_names;

/* Adds a name. *index is its number; *is_new tells whether it was absent before. Errors: LP_RESOURCE. */
lp_status lp_names_add(lp_names *names, lp_string name, uint32_t *index, bool *is_new);

/* Number of a name, or -1. */
int64_t lp_names_find(const lp_names *names, lp_string name);
void lp_names_free(lp_names *names);

/* True if the bytes are well-formed UTF-8 without NUL. */
bool lp_name_is_text(lp_string name);

/* A name made fit for a message: bytes outside printable ASCII as \xNN, shortened with "..." to the buffer. Returns
 * buffer. */
enum { LP_PRINTABLE = 80 };
const char *lp_name_printable(lp_string name, char buffer[LP_PRINTABLE]);

#endif
