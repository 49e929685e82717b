/* From one container to another. */
#include "model/hf/convert.h"

#include <stdio.h>
#include <string.h>

#include <lowp/model.h>

#include "base/fail.h"
#include "file/gguf.h"

typedef struct job {
    const lp_gguf *gguf;
    const lp_convert_options *options;
    const lp_progress *progress;
    const char *path;
    lp_convert_result *result;
    double done, total;
} job;

/* Tensors [first, last) with keys, as file number `number` of n_files. */
static lp_status fill_writer(const job *j, lp_gguf_writer *writer, int64_t first, int64_t last, int number, int n_files)
{
    if (number == 0)
        for (int64_t i = 0; i < lp_gguf_key_count(j->gguf); i++) {
            const lp_gguf_key *key = lp_gguf_key_at(j->gguf, i);
            bool is_tensor = key->key.n > 12 && memcmp(key->key.data, "lowp.tensor.", 12) == 0; /* set by the file that has it */
            if (!is_tensor) LP_TRY(lp_gguf_writer_copy_key(writer, key));
        }
    if (n_files > 1) {
        LP_TRY(lp_gguf_writer_set_u16(writer, "split.no", (uint16_t)number));
        LP_TRY(lp_gguf_writer_set_u16(writer, "split.count", (uint16_t)n_files));
        LP_TRY(lp_gguf_writer_set_i32(writer, "split.tensors.count", (int32_t)lp_gguf_tensor_count(j->gguf)));
    }
    for (int64_t i = first; i < last; i++) {
        const lp_tensor *t = lp_gguf_tensor_at(j->gguf, i);
        LP_TRY(lp_gguf_writer_add_tensor(writer, t->name, t->n_dims, t->dim, t->packing));
    }
    return LP_OK;
}

static lp_status write_data(job *j, lp_gguf_writer *writer, int64_t first, int64_t last)
{
    LP_TRY(lp_gguf_writer_begin_data(writer));
    for (int64_t i = first; i < last; i++) {
        const lp_tensor *t = lp_gguf_tensor_at(j->gguf, i);
        const lp_progress *p = j->progress;
        if (p && p->cancelled && p->cancelled(p->context)) return lp_fail(LP_INTERRUPTED, "interrupted");
        LP_TRY(lp_gguf_writer_write(writer, t->data, t->n_bytes));
        lp_gguf_drop_pages(j->gguf, t, 0, lp_tensor_rows(t));
        j->done += (double)t->n_bytes;
        if (p && p->report) p->report(p->context, t->name, j->done, j->total);
    }
    return lp_gguf_check_intact(j->gguf);
}

/* Whole on the disk, but not yet renamed: *out, NULL on error and in a dry run. */
static lp_status write_file(job *j, const char *path, int64_t first, int64_t last, int number, int n_files, const lp_output *beside,
                            lp_output **out)
{
    lp_gguf_writer *writer;
    bool dry = j->options->dry_run;
    *out = NULL;
    LP_TRY(dry ? lp_gguf_writer_create_dry(&writer) : lp_gguf_writer_create(path, j->options->force, &writer));
    lp_status status = fill_writer(j, writer, first, last, number, n_files);
    j->result->n_bytes += lp_gguf_writer_size(writer);
    if (status == LP_OK && !dry) status = write_data(j, writer, first, last);
    if (status == LP_OK && !dry) return lp_gguf_writer_prepare(writer, beside, out);
    lp_gguf_writer_abort(writer);
    return status;
}

/* The tensor after the last one of a file that begins with `first`. */
static int64_t end_of_shard(const job *j, int64_t first)
{
    int64_t n = lp_gguf_tensor_count(j->gguf), last = first;
    uint64_t sum = 0, most = j->options->shard_bytes;
    while (last < n) {
        uint64_t size = lp_gguf_tensor_at(j->gguf, last)->n_bytes;
        if (most && last > first && (size > most || sum > most - size)) break;
        sum += size;
        last++;
    }
    return last;
}

static lp_status write_gguf(job *j)
{
    int64_t n = lp_gguf_tensor_count(j->gguf), first = 0;
    int n_files = 0;
    char path[4200];
    size_t stem = strlen(j->path);
    if (stem >= 5 && strcmp(j->path + stem - 5, ".gguf") == 0) stem -= 5;
    do {
        first = end_of_shard(j, first);
        n_files++;
    } while (first < n);
    if (n_files > LP_GGUF_MAX_SHARDS || (n_files > 1 && stem > 4000)) {
        lp_fail(LP_USAGE, "%.200s: %d files would be written (at most %d)", j->path, n_files, LP_GGUF_MAX_SHARDS);
        return lp_hint(LP_USAGE, "ask for larger shards");
    }
    j->result->n_files = n_files;
    j->result->n_tensors = n;
    lp_output *file[LP_GGUF_MAX_SHARDS]; /* a part of a model is no output: all are renamed in the end, or none */
    int n_ready = 0;
    lp_status status = LP_OK;
    first = 0;
    for (int number = 0; number < n_files && status == LP_OK; number++) {
        int64_t last = end_of_shard(j, first);
        if (n_files > 1) snprintf(path, sizeof path, "%.*s-%05d-of-%05d.gguf", (int)stem, j->path, number + 1, n_files);
        status = write_file(j, n_files > 1 ? path : j->path, first, last, number, n_files, number ? file[0] : NULL, &file[n_ready]);
        n_ready += file[n_ready] != NULL;
        first = last;
    }
    if (status == LP_OK) return lp_output_finish_all(file, (size_t)n_ready);
    while (n_ready) lp_output_abort(file[--n_ready]);
    return status;
}

lp_status lp_convert(const char *source, const char *path, const lp_convert_options *options, const lp_progress *progress,
                     lp_convert_result *result)
{
    lp_gguf *gguf;
    size_t n = strlen(path);
    *result = (lp_convert_result){0};
    LP_TRY(lp_container_open(source, &gguf));
    bool to_gguf = lp_hf_is_folder(source) || options->shard_bytes || (n >= 5 && strcmp(path + n - 5, ".gguf") == 0);
    job j = {.gguf = gguf, .options = options, .progress = progress, .path = path, .result = result};
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) j.total += (double)lp_gguf_tensor_at(gguf, i)->n_bytes;
    lp_status status = to_gguf ? write_gguf(&j) : lp_hf_export(gguf, path, options, progress, result);
    lp_gguf_close(gguf);
    return status;
}
