/* Setting the thread's error text. */
#ifndef LP_BASE_FAIL_H
#define LP_BASE_FAIL_H

#include <stddef.h>

#include <lowp/status.h>

/* Sets the thread's error text and returns status. The text reads "FILE: ITEM: what is wrong (the numbers)". */
lp_status lp_fail(lp_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a line to the text that lp_fail set: what to do. Returns status, so that a failure can end with it. */
lp_status lp_hint(lp_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* LP_RESOURCE with "out of memory (N bytes for WHAT)". */
lp_status lp_fail_memory(size_t n_bytes, const char *what);

/* Returns the status of an expression from the current function unless it is LP_OK. */
#define LP_TRY(expression)                  \
    do {                                    \
        lp_status status_ = (expression);   \
        if (status_ != LP_OK) return status_; \
    } while (0)

#endif
