/* A growing list of token ids. */
#ifndef LP_MODEL_TOKENIZER_IDS_H
#define LP_MODEL_TOKENIZER_IDS_H

#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/fail.h"

typedef struct lp_ids {
    int32_t *id; /* [n], from malloc */
    size_t n, room;
} lp_ids;

/* Makes room for n more. Errors: LP_RESOURCE. */
static inline lp_status lp_ids_reserve(lp_ids *ids, size_t n)
{
    size_t wanted, bytes;
    if (!lp_add_size(ids->n, n, &wanted)) return lp_fail_memory(SIZE_MAX, "token ids");
    if (wanted <= ids->room) return LP_OK;
    size_t room = wanted + wanted / 2 + 64;
    if (!lp_mul_size(room, sizeof *ids->id, &bytes)) return lp_fail_memory(SIZE_MAX, "token ids");
    int32_t *grown = realloc(ids->id, bytes);
    if (!grown) return lp_fail_memory(bytes, "token ids");
    ids->id = grown;
    ids->room = room;
    return LP_OK;
}

#endif
