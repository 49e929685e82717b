/* Windows of a tokenised text, run through one session or two in step. */
#ifndef LP_MEASURE_WINDOWS_H
#define LP_MEASURE_WINDOWS_H

#include <lowp/measure.h>

/* One chunk of a window, computed: n rows of logits from each session and the tokens that they predict. */
typedef struct lp_chunk {
    int64_t window, first;       /* position of the first row in its window */
    int64_t n;                   /* rows */
    const int32_t *target;       /* [n] id that row predicts; -1: not scored */
    const float *logits[2];      /* [n][n_vocab]; [1] is NULL with one session */
    int64_t n_vocab;
} lp_chunk;

typedef struct lp_windows {
    int32_t *token;              /* [n_tokens] of the text */
    int64_t n_tokens, n_context, n_windows, n_chunk;
    int64_t n_places;            /* window i is the one at place i * n_places / n_windows of the text */
    int64_t n_predictions;       /* scored, of all windows */
    lp_protocol protocol;
    int32_t bos;                 /* put in place of a window's first token; -1: none */
    bool all_rows;               /* rows that are not scored are wanted too (hash) */
} lp_windows;

/* Settles options, tokenises and counts. Errors: as lp_eval. */
lp_status lp_windows_open(const lp_model *model, const char *text, size_t n_text, const lp_eval_options *options,
                          lp_windows *windows);
void lp_windows_close(lp_windows *windows);

/* A session that fits. */
lp_status lp_windows_session(const lp_windows *windows, const lp_model *model, const lp_eval_options *options,
                             const lp_progress *progress, lp_session **out);

/* Runs all windows; use is called for every chunk in order. n_sessions: 1 or 2. what: for progress. */
lp_status lp_windows_run(const lp_windows *windows, lp_session *const *session, int n_sessions, const lp_progress *progress,
                         const char *what, lp_status (*use)(void *context, const lp_chunk *chunk), void *context);

/* Seconds of a steady clock. */
double lp_seconds(void);

#endif
