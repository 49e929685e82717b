/* The thread's error text. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char error_text[2048];

const char *lp_error(void) { return error_text; }

lp_status lp_fail(lp_status status, const char *format, ...)
{
    char text[sizeof error_text]; /* format's arguments may be lp_error() itself */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(error_text, text, sizeof text);
    return status;
}

lp_status lp_hint(lp_status status, const char *format, ...)
{
    size_t n = strlen(error_text);
    if (n + 2 >= sizeof error_text) return status;
    error_text[n] = '\n';
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error_text + n + 1, sizeof error_text - n - 1, format, arguments);
    va_end(arguments);
    return status;
}

lp_status lp_fail_memory(size_t n_bytes, const char *what)
{
    return lp_fail(LP_RESOURCE, "out of memory (%zu bytes for %s)", n_bytes, what);
}

const char *lp_status_name(lp_status status)
{
    switch (status) {
    case LP_OK: return "ok";
    case LP_CHECK: return "check failed";
    case LP_USAGE: return "usage";
    case LP_INPUT: return "bad input";
    case LP_RESOURCE: return "out of memory or disk";
    case LP_UNSUPPORTED: return "unsupported";
    case LP_INTERRUPTED: return "interrupted";
    }
    return "unknown status";
}

const char *lp_version(void) { return LOWP_VERSION; }
