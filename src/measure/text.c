/* Reading texts: a file, stdin, or one inside the program. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/measure.h>

#include "base/fail.h"

enum { PIECE = 1 << 16 };

static lp_status read_stream(FILE *f, const char *path, char **out, size_t *n)
{
    size_t room = PIECE, have = 0;
    char *buffer = malloc(room);
    while (buffer) {
        size_t got = fread(buffer + have, 1, room - have, f);
        have += got;
        if (have < room) {
            if (!ferror(f) || errno != EINTR) break;
            clearerr(f); /* a signal on a slow stream: nothing is lost */
            continue;
        }
        char *larger = room <= SIZE_MAX / 2 ? realloc(buffer, room * 2) : NULL;
        if (!larger) {
            free(buffer);
            buffer = NULL;
        } else {
            buffer = larger;
            room *= 2;
        }
    }
    if (!buffer) return lp_fail_memory(room, path);
    if (ferror(f)) {
        int reason = errno;
        free(buffer);
        return lp_fail(LP_INPUT, "%s: cannot be read (%s)", path, strerror(reason));
    }
    *out = buffer;
    *n = have;
    return LP_OK;
}

lp_status lp_text_read(const char *path, char **out, size_t *n)
{
    *out = NULL;
    const char *embedded = lp_embedded_text(path, n);
    if (embedded) {
        *out = malloc(*n);
        if (!*out) return lp_fail_memory(*n, path);
        memcpy(*out, embedded, *n);
        return LP_OK;
    }
    if (strcmp(path, "-") == 0) return read_stream(stdin, "stdin", out, n);
    FILE *f = fopen(path, "re");
    if (!f) return lp_fail(LP_INPUT, "%s: cannot be opened (%s)", path, strerror(errno));
    lp_status s = read_stream(f, path, out, n);
    fclose(f);
    return s;
}
