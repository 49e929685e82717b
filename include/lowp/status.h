/* Status codes and the text of the last error. */
#ifndef LOWP_STATUS_H
#define LOWP_STATUS_H

#if defined(_WIN32)
#define LP_API
#else
#define LP_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a fallible function returns. The numbers are also the exit codes of the `lowp` program. */
typedef enum lp_status {
    LP_OK = 0,          /* done */
    LP_CHECK = 1,       /* a check failed: verify found a problem, a threshold was missed */
    LP_USAGE = 2,       /* an argument is outside its documented range, or the output exists */
    LP_INPUT = 3,       /* the input is missing or its bytes are wrong */
    LP_RESOURCE = 4,    /* out of memory or disk, or a write failed */
    LP_UNSUPPORTED = 5, /* a valid thing that this build lacks */
    LP_INTERRUPTED = 130 /* the caller's lp_progress asked to stop */
} lp_status;

/* Text of the last error of the calling thread: "FILE: ITEM: what is wrong (the numbers)", then, after a newline, what
 * to do where there is advice. Never NULL; "" before the first error. Valid until the thread's next failing call. */
LP_API const char *lp_error(void);

/* "ok", "check failed", "usage", ... Never NULL. */
LP_API const char *lp_status_name(lp_status status);

/* Version of the library, "0.1.0". */
LP_API const char *lp_version(void);

#ifdef __cplusplus
}
#endif
#endif
