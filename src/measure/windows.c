/* Windows of a tokenised text. Cards: ptq/evaluation-protocol, runtime/llama-cpp-peer (perplexity protocol). */
#include "measure/windows.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"

double lp_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The rows of a window that score: [first, last). Row i predicts token i + 1. */
static void scored(const lp_windows *w, int64_t *first, int64_t *last)
{
    *first = w->protocol == LP_PROTOCOL_LLAMA_CPP ? w->n_context / 2 : 0;
    *last = w->n_context - 1;
}

lp_status lp_windows_open(const lp_model *model, const char *text, size_t n_text, const lp_eval_options *options,
                          lp_windows *windows)
{
    const lp_model_info *m = lp_model_get_info(model);
    const lp_tokenizer *tokenizer = lp_model_tokenizer(model);
    const char *path = lp_gguf_path(lp_model_gguf(model));
    lp_windows *w = windows;
    memset(w, 0, sizeof *w);
    w->protocol = options->protocol;
    w->all_rows = options->hash;
    w->bos = -1;
    w->n_context = options->n_context ? options->n_context : m->n_context < 1024 ? m->n_context : 1024;
    w->n_chunk = options->n_chunk ? options->n_chunk : 512;
    if (w->n_context < 2 || w->n_context > m->n_context)
        return lp_fail(LP_USAGE, "%s: a context of %lld tokens is outside 2 .. %lld, what the model was made for", path,
                       (long long)w->n_context, (long long)m->n_context);
    if (w->n_chunk < 1 || options->n_windows < 0)
        return lp_fail(LP_USAGE, "chunk %lld, windows %lld: must be positive", (long long)w->n_chunk,
                       (long long)options->n_windows);
    if (w->n_chunk > w->n_context) w->n_chunk = w->n_context;
    bool llama = w->protocol == LP_PROTOCOL_LLAMA_CPP && lp_tokenizer_adds_bos(tokenizer);
    if (llama) w->bos = lp_tokenizer_bos(tokenizer);
    size_t n = 0;
    LP_TRY(lp_tokenizer_encode(tokenizer, text, n_text, false, llama, &w->token, &n));
    w->n_tokens = (int64_t)n;
    int32_t largest = -1;
    for (int64_t i = 0; i < w->n_tokens; i++)
        if (w->token[i] > largest) largest = w->token[i];
    lp_status s = LP_OK;
    if (largest >= m->n_vocab)
        s = lp_fail(LP_INPUT, "%s: the tokenizer gives id %d, but the embedding has %lld rows", path, largest, (long long)m->n_vocab);
    else if (w->n_tokens < w->n_context)
        s = lp_fail(LP_INPUT, "%s: the text has %lld tokens, one window needs %lld", path, (long long)w->n_tokens,
                    (long long)w->n_context);
    if (s != LP_OK) {
        lp_windows_close(w);
        return s == LP_INPUT ? lp_hint(s, "give a longer text or a smaller --context") : s;
    }
    w->n_places = w->n_windows = w->n_tokens / w->n_context;
    if (options->n_windows && options->n_windows < w->n_windows) w->n_windows = options->n_windows;
    if (!options->spread) w->n_places = w->n_windows;
    int64_t first, last;
    scored(w, &first, &last);
    w->n_predictions = w->n_windows * (last - first);
    return LP_OK;
}

void lp_windows_close(lp_windows *windows)
{
    free(windows->token);
    memset(windows, 0, sizeof *windows);
}

lp_status lp_windows_session(const lp_windows *windows, const lp_model *model, const lp_eval_options *options,
                             const lp_progress *progress, lp_session **out)
{
    lp_session_options o = {.pool = options->pool,
                            .n_context = windows->n_context,
                            .n_batch = windows->n_chunk,
                            .activations = options->activations};
    return lp_session_create(model, &o, progress, out);
}

typedef struct buffers {
    int32_t *token, *position, *row_target;
    uint8_t *wants;
} buffers;

/* Lists the tokens [first, first + n) of a window and which rows are wanted. Returns the number of wanted rows. */
static int64_t list_chunk(const lp_windows *w, int64_t window, int64_t first, int64_t n, buffers *b)
{
    const int32_t *token = w->token + window * w->n_places / w->n_windows * w->n_context;
    int64_t score_first, score_last, rows = 0;
    scored(w, &score_first, &score_last);
    for (int64_t i = 0; i < n; i++) {
        int64_t p = first + i;
        bool scores = p >= score_first && p < score_last;
        b->token[i] = p == 0 && w->bos >= 0 ? w->bos : token[p];
        b->position[i] = (int32_t)p;
        b->wants[i] = scores || w->all_rows;
        if (b->wants[i]) b->row_target[rows++] = scores ? token[p + 1] : -1;
    }
    return rows;
}

static lp_status run_all(const lp_windows *w, lp_session *const *session, int n_sessions, const lp_progress *progress,
                         const char *what, lp_status (*use)(void *, const lp_chunk *), void *context, buffers *b)
{
    for (int64_t window = 0; window < w->n_windows; window++) {
        for (int i = 0; i < n_sessions; i++) LP_TRY(lp_session_truncate(session[i], 0, 0));
        for (int64_t first = 0; first < w->n_context; first += w->n_chunk) {
            if (progress && progress->cancelled && progress->cancelled(progress->context))
                return lp_fail(LP_INTERRUPTED, "interrupted");
            if (progress && progress->report)
                progress->report(progress->context, what, (double)(window * w->n_context + first),
                                 (double)(w->n_windows * w->n_context));
            int64_t n = w->n_context - first < w->n_chunk ? w->n_context - first : w->n_chunk;
            int64_t rows = list_chunk(w, window, first, n, b);
            lp_batch batch = {.n_tokens = n, .token = b->token, .position = b->position, .wants_logits = b->wants};
            lp_chunk chunk = {.window = window, .first = first, .n = rows, .target = b->row_target};
            for (int i = 0; i < n_sessions; i++) LP_TRY(lp_session_forward(session[i], &batch, &chunk.logits[i]));
            chunk.n_vocab = lp_model_get_info(lp_session_model(session[0]))->n_vocab;
            LP_TRY(use(context, &chunk));
        }
    }
    return LP_OK;
}

lp_status lp_windows_run(const lp_windows *windows, lp_session *const *session, int n_sessions, const lp_progress *progress,
                         const char *what, lp_status (*use)(void *context, const lp_chunk *chunk), void *context)
{
    size_t n = (size_t)windows->n_chunk;
    buffers b = {malloc(n * 4), malloc(n * 4), malloc(n * 4), malloc(n)};
    lp_status s = LP_OK;
    if (!b.token || !b.position || !b.row_target || !b.wants)
        s = lp_fail_memory(n * 13, "a chunk");
    else
        s = run_all(windows, session, n_sessions, progress, what, use, context, &b);
    free(b.token);
    free(b.position);
    free(b.row_target);
    free(b.wants);
    return s;
}
