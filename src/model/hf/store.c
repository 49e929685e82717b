/* Bytes put together in memory or in a temporary file. */
#include "model/hf/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"

static const char file_name[] = "parts";

static void file_path(const lp_hf_store *store, char path[300]) { snprintf(path, 300, "%s/%s", store->folder, file_name); }

/* A folder that nobody else can write into: its names cannot be taken before us. */
static lp_status open_file(lp_hf_store *store)
{
    const char *base = getenv("TMPDIR");
    char path[300];
    int n = snprintf(store->folder, sizeof store->folder, "%s/lowp-XXXXXX", base && *base ? base : "/var/tmp");
    if (n < 0 || (size_t)n >= sizeof store->folder) {
        store->folder[0] = '\0';
        return lp_fail(LP_RESOURCE, "TMPDIR: the path is too long");
    }
    if (!mkdtemp(store->folder)) {
        lp_fail(LP_RESOURCE, "%s: cannot make a temporary folder (%s)", store->folder, strerror(errno));
        store->folder[0] = '\0';
        return lp_hint(LP_RESOURCE, "set TMPDIR to a folder with room for the model's experts");
    }
    file_path(store, path);
    LP_TRY(lp_output_create(path, false, &store->output));
    if (lp_output_reserve(store->output, store->n_bytes) == LP_OK) return LP_OK;
    return lp_hint(LP_RESOURCE, "set TMPDIR to a folder with room for the model's experts");
}

lp_status lp_hf_store_open(lp_hf_store *store, size_t n_bytes, size_t n_piece, size_t most_in_memory)
{
    *store = (lp_hf_store){.n_bytes = n_bytes, .n_piece = n_piece};
    bool in_file = n_bytes > most_in_memory;
    size_t n = in_file ? n_piece : n_bytes;
    store->memory = malloc(n + 64);
    lp_status status = store->memory ? LP_OK : lp_fail_memory(n, "the parts of tensors");
    if (status == LP_OK && in_file) status = open_file(store);
    if (status != LP_OK) lp_hf_store_close(store);
    return status;
}

uint8_t *lp_hf_store_next(lp_hf_store *store) { return store->output ? store->memory : store->memory + store->at; }

lp_status lp_hf_store_put(lp_hf_store *store, size_t n)
{
    if (store->output) LP_TRY(lp_output_write(store->output, store->memory, n));
    store->at += n;
    return LP_OK;
}

lp_status lp_hf_store_align(lp_hf_store *store, size_t alignment)
{
    size_t n = (alignment - store->at % alignment) % alignment;
    memset(lp_hf_store_next(store), 0, n);
    return lp_hf_store_put(store, n);
}

lp_status lp_hf_store_finish(lp_hf_store *store, uint8_t **memory, lp_map *map, const uint8_t **bytes)
{
    lp_status status = LP_OK;
    char path[300];
    *memory = NULL;
    *map = (lp_map){.slot = -1};
    if (store->output) {
        file_path(store, path);
        status = lp_output_finish(store->output, NULL);
        store->output = NULL;
        if (status == LP_OK) status = lp_map_open(path, map);
        *bytes = map->data;
    } else {
        *bytes = *memory = store->memory;
        store->memory = NULL;
    }
    lp_hf_store_close(store);
    return status;
}

void lp_hf_store_close(lp_hf_store *store)
{
    char path[300];
    lp_output_abort(store->output);
    free(store->memory);
    if (store->folder[0]) {
        file_path(store, path);
        (void)unlink(path);
        (void)rmdir(store->folder);
    }
    *store = (lp_hf_store){0};
}
