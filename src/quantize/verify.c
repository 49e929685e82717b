/* Verifying a GGUF file: what a loader checks, and every scale and float weight finite. */
#include <stdio.h>

#include <lowp/model.h>
#include <lowp/quantize.h>

#include "base/fail.h"

/* A run of rows of one tensor: what one thread looks at between two looks at the clock. */
typedef struct piece {
    int64_t tensor;
    int64_t first, n_rows;
    int64_t row, column; /* of the first place that is not finite; column -1: there is none */
} piece;

/* Pieces of PIECE_BYTES; a region of the pool goes over N_PIECES of them (64 MiB), then pages are dropped. */
enum { PIECE_BYTES = 1 << 20, N_PIECES = 64 };

typedef struct scan {
    const lp_gguf *gguf;
    piece pieces[N_PIECES];
    int64_t n_pieces;
    int64_t tensor, row;   /* where the next piece begins */
    int64_t reported;      /* last tensor with a problem, -1 */
    int64_t n_problems;
    uint64_t n_done, n_total; /* bytes */
} scan;

static int64_t row_bytes_of(const lp_tensor *tensor) { return (int64_t)tensor->n_bytes / lp_tensor_rows(tensor); }

/* Fills the list of pieces; their number is 0 at the end of the file. */
static void next_pieces(scan *s)
{
    s->n_pieces = 0;
    while (s->n_pieces < N_PIECES && s->tensor < lp_gguf_tensor_count(s->gguf)) {
        const lp_tensor *tensor = lp_gguf_tensor_at(s->gguf, s->tensor);
        int64_t n_left = lp_tensor_rows(tensor) - s->row;
        if (n_left == 0) {
            s->tensor++;
            s->row = 0;
            continue;
        }
        int64_t n = PIECE_BYTES / (row_bytes_of(tensor) + 1) + 1;
        if (n > n_left) n = n_left;
        s->pieces[s->n_pieces++] = (piece){s->tensor, s->row, n, 0, -1};
        s->row += n;
    }
}

static void scan_part(void *context, int thread, int n_threads)
{
    scan *s = context;
    int64_t first, last;
    lp_pool_part(s->n_pieces, thread, n_threads, &first, &last);
    for (int64_t i = first; i < last; i++) {
        piece *p = &s->pieces[i];
        const lp_tensor *tensor = lp_gguf_tensor_at(s->gguf, p->tensor);
        for (p->row = p->first; p->row < p->first + p->n_rows; p->row++)
            if ((p->column = lp_tensor_find_nonfinite(tensor, p->row)) >= 0) break;
    }
}

/* The first bad block of each tensor is reported: where one is, thousands often are. */
static void report_pieces(scan *s, lp_problem_fn report, void *context)
{
    for (int64_t i = 0; i < s->n_pieces; i++) {
        const piece *p = &s->pieces[i];
        if (p->column < 0 || p->tensor == s->reported) continue;
        s->reported = p->tensor;
        s->n_problems++;
        const lp_tensor *tensor = lp_gguf_tensor_at(s->gguf, p->tensor);
        char text[160];
        snprintf(text, sizeof text, "%s is not finite (row %lld, column %lld, type %s)",
                 tensor->packing->n_values == 1 ? "a value" : "a scale", (long long)p->row, (long long)p->column,
                 tensor->packing->name);
        if (report) report(context, tensor->name, text);
    }
}

/* The rows that the pieces completed. */
static void drop_pieces(scan *s)
{
    for (int64_t i = 0; i < s->n_pieces; i++) {
        const piece *p = &s->pieces[i];
        const lp_tensor *tensor = lp_gguf_tensor_at(s->gguf, p->tensor);
        lp_gguf_drop_pages(s->gguf, tensor, p->first, p->first + p->n_rows);
        s->n_done += (uint64_t)(p->n_rows * row_bytes_of(tensor));
    }
}

static lp_status scan_file(scan *s, lp_pool *pool, const lp_progress *progress, lp_problem_fn report, void *context)
{
    for (int64_t i = 0; i < lp_gguf_tensor_count(s->gguf); i++) s->n_total += lp_gguf_tensor_at(s->gguf, i)->n_bytes;
    for (;;) {
        if (progress && progress->cancelled && progress->cancelled(progress->context))
            return lp_fail(LP_INTERRUPTED, "%s: interrupted", lp_gguf_path(s->gguf));
        next_pieces(s);
        if (s->n_pieces == 0) break;
        lp_pool_run(pool, scan_part, s);
        /* A file that shrank reads as zeros: say so before saying what is in it. */
        LP_TRY(lp_gguf_check_intact(s->gguf));
        report_pieces(s, report, context);
        drop_pieces(s);
        if (progress && progress->report)
            progress->report(progress->context, "verify", (double)s->n_done, (double)s->n_total);
    }
    if (s->n_problems == 0) return LP_OK;
    return lp_fail(LP_CHECK, "%s: %lld of %lld tensors have a scale or value that is not finite", lp_gguf_path(s->gguf),
                   (long long)s->n_problems, (long long)lp_gguf_tensor_count(s->gguf));
}

lp_status lp_verify(const char *path, lp_pool *pool, const lp_progress *progress, lp_problem_fn report, void *context)
{
    lp_gguf *gguf;
    LP_TRY(lp_container_open(path, &gguf));
    scan s = {.gguf = gguf, .reported = -1};
    lp_status status = scan_file(&s, pool, progress, report, context);
    lp_gguf_close(gguf);
    return status;
}
