/* Bytes that a folder holds in another order than a GGUF file, put together: in memory, or above a limit in a temporary file. */
#ifndef LP_MODEL_HF_STORE_H
#define LP_MODEL_HF_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>

#include "base/map.h"
#include "base/output.h"

/* Zero-initialised is closed. */
typedef struct lp_hf_store {
    uint8_t *memory;    /* [n_bytes], or one piece on its way into the file */
    size_t at, n_bytes, n_piece;
    lp_output *output;  /* NULL: all in memory */
    char folder[256];   /* of the file, ours alone; "": none */
} lp_hf_store;

/* n_bytes in all, in pieces of at most n_piece; above most_in_memory in a file of $TMPDIR (/var/tmp), which is removed as soon as
 * it is mapped. Errors: LP_RESOURCE. */
lp_status lp_hf_store_open(lp_hf_store *store, size_t n_bytes, size_t n_piece, size_t most_in_memory);

/* Where the next n bytes are to be written, before the next call; lp_hf_store_put makes them part of the store. */
uint8_t *lp_hf_store_next(lp_hf_store *store);
lp_status lp_hf_store_put(lp_hf_store *store, size_t n);
lp_status lp_hf_store_align(lp_hf_store *store, size_t alignment); /* zeros up to a multiple, at most n_piece of them */

/* The bytes: *memory to be freed, or *map to be closed. Closes the store. */
lp_status lp_hf_store_finish(lp_hf_store *store, uint8_t **memory, lp_map *map, const uint8_t **bytes);
void lp_hf_store_close(lp_hf_store *store); /* drops all; a closed one is allowed */

#endif
