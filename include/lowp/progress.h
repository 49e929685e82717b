/* How long work reports where it stands and learns that it should stop. */
#ifndef LOWP_PROGRESS_H
#define LOWP_PROGRESS_H

#include <stdbool.h>

/* Passed, possibly as NULL, to functions that run long. Both callbacks may be NULL; they are called on the caller's
 * thread only. */
typedef struct lp_progress {
    void (*report)(void *context, const char *what, double done, double total); /* done of total, any unit */
    bool (*cancelled)(void *context); /* true: the function removes what it began and returns LP_INTERRUPTED */
    void *context;
} lp_progress;

#endif
