/* Split GGUF files: NAME-00001-of-0000N.gguf and the rest as one. Card: formats/gguf-container.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "file/gguf.h"

typedef struct joiner {
    const char *path;
    lp_gguf **shard; /* [count]; [0] is the caller's file */
    int64_t count, n_tensors;
    lp_gguf_writer *writer;
} joiner;

static bool is_split_key(const lp_gguf_key *key) { return key->key.n > 6 && memcmp(key->key.data, "split.", 6) == 0; }

/* The path of shard i, from the first one's. */
static lp_status open_shard(const joiner *j, int64_t i)
{
    char end[32];
    size_t n = strlen(j->path), n_end = (size_t)snprintf(end, sizeof end, "-00001-of-%05lld.gguf", (long long)j->count);
    if (n < n_end || strcmp(j->path + n - n_end, end) != 0) {
        lp_fail(LP_INPUT, "%s: is the first of %lld files, but its name does not end with %s", j->path, (long long)j->count, end);
        return lp_hint(LP_INPUT, "give the files their names back");
    }
    char *path = malloc(n + 1);
    if (!path) return lp_fail_memory(n, "a path");
    snprintf(path, n + 1, "%.*s-%05lld-of-%05lld.gguf", (int)(n - n_end), j->path, (long long)i + 1, (long long)j->count);
    lp_status status = lp_gguf_open(path, &j->shard[i]);
    free(path);
    return status;
}

static lp_status check_shard(const joiner *j, int64_t i)
{
    int64_t number = -1, count = -1;
    LP_TRY(lp_gguf_get_i64(j->shard[i], "split.no", true, &number));
    LP_TRY(lp_gguf_get_i64(j->shard[i], "split.count", true, &count));
    if (number == i && count == j->count) return LP_OK;
    return lp_fail(LP_INPUT, "%s: split.no: is number %lld of %lld (%lld of %lld is expected)", lp_gguf_path(j->shard[i]),
                   (long long)number, (long long)count, (long long)i, (long long)j->count);
}

static lp_status declare(joiner *j)
{
    const lp_gguf *first = j->shard[0];
    LP_TRY(lp_gguf_writer_create_dry(&j->writer));
    for (uint64_t k = 0; k < first->n_keys; k++)
        if (!is_split_key(&first->key[k])) LP_TRY(lp_gguf_writer_copy_key(j->writer, &first->key[k]));
    for (int64_t i = 0; i < j->count; i++)
        for (uint64_t t = 0; t < j->shard[i]->n_tensors; t++, j->n_tensors++) {
            const lp_tensor *tensor = &j->shard[i]->tensor[t];
            for (int64_t before = 0; before < i; before++)
                if (lp_gguf_find_tensor(j->shard[before], tensor->name))
                    return lp_fail(LP_INPUT, "%s: %s: the tensor is in %s too", lp_gguf_path(j->shard[i]), tensor->name,
                                   lp_gguf_path(j->shard[before]));
            LP_TRY(lp_gguf_writer_add_tensor(j->writer, tensor->name, tensor->n_dims, tensor->dim, tensor->packing));
        }
    int64_t declared = j->n_tensors;
    LP_TRY(lp_gguf_get_i64(first, "split.tensors.count", false, &declared));
    if (declared == j->n_tensors) return LP_OK;
    return lp_fail(LP_INPUT, "%s: split.tensors.count: %lld tensors are promised, the files have %lld", j->path,
                   (long long)declared, (long long)j->n_tensors);
}

static lp_status collect(joiner *j, lp_gguf_parts *parts)
{
    LP_TRY(lp_gguf_writer_header(j->writer, &parts->image, &parts->n_image));
    parts->data = calloc((size_t)j->n_tensors + 1, sizeof *parts->data);
    parts->map = calloc((size_t)j->count, sizeof *parts->map);
    if (!parts->data || !parts->map) return lp_fail_memory((size_t)j->n_tensors * sizeof *parts->data, "shards");
    size_t n = 0;
    for (int64_t i = 0; i < j->count; i++) {
        lp_gguf *shard = j->shard[i];
        for (uint64_t t = 0; t < shard->n_tensors; t++) parts->data[n++] = shard->tensor[t].data;
        parts->map[parts->n_maps++] = shard->map[0]; /* changes hands */
        shard->n_maps = 0;
    }
    return LP_OK;
}

lp_status lp_gguf_join(lp_gguf *first, lp_gguf **out)
{
    joiner j = {.path = lp_gguf_path(first)};
    lp_gguf_parts parts = {0};
    int64_t number = 0;
    *out = NULL;
    lp_status status = lp_gguf_get_i64(first, "split.count", false, &j.count);
    if (status == LP_OK) status = lp_gguf_get_i64(first, "split.no", false, &number);
    if (status == LP_OK && j.count <= 1) {
        *out = first;
        return LP_OK;
    }
    if (status == LP_OK && number != 0) {
        lp_fail(LP_INPUT, "%s: is file %lld of %lld of a split model", j.path, (long long)number + 1, (long long)j.count);
        status = lp_hint(LP_INPUT, "open the first one, -00001-of-%05lld.gguf", (long long)j.count);
    }
    if (status == LP_OK && j.count > LP_GGUF_MAX_SHARDS)
        status = lp_fail(LP_UNSUPPORTED, "%s: split.count: %lld files (at most %d are supported)", j.path, (long long)j.count, LP_GGUF_MAX_SHARDS);
    if (status == LP_OK && !(j.shard = calloc((size_t)j.count, sizeof *j.shard)))
        status = lp_fail_memory((size_t)j.count * sizeof *j.shard, "shards");
    if (j.shard) j.shard[0] = first;
    for (int64_t i = 1; i < j.count && status == LP_OK; i++) status = open_shard(&j, i);
    for (int64_t i = 0; i < j.count && status == LP_OK; i++) status = check_shard(&j, i);
    if (status == LP_OK) status = declare(&j);
    if (status == LP_OK) status = collect(&j, &parts);
    if (status == LP_OK) status = lp_gguf_open_parts(&parts, j.path, out);
    else lp_gguf_parts_free(&parts);
    for (int64_t i = 1; j.shard && i < j.count; i++) lp_gguf_close(j.shard[i]);
    lp_gguf_close(first);
    lp_gguf_writer_abort(j.writer);
    free(j.shard);
    return status;
}
