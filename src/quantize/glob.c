/* Matching of names against patterns, and how far apart they are. */
#include "quantize/glob.h"

#include <stddef.h>

bool lp_glob_match(const char *glob, const char *name)
{
    const char *star = NULL, *resume = NULL; /* behind the last star, and where its run ends so far */
    while (*name) {
        if (*glob == '*') {
            star = ++glob;
            resume = name;
        } else if (*glob == '?' || *glob == *name) {
            glob++;
            name++;
        } else if (star) { /* only the last star's run can usefully grow: earlier ones matched as early as possible */
            glob = star;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*glob == '*') glob++;
    return !*glob;
}

int lp_glob_distance(const char *glob, const char *name)
{
    enum { MAX = 128 };
    int row[MAX], n = 0;
    while (n < MAX - 1 && name[n]) n++;
    for (int j = 0; j <= n; j++) row[j] = j;
    int used = 0;
    for (; *glob && used < MAX - 1; glob++) {
        if (*glob == '*') continue;
        int diagonal = row[0];
        row[0] = ++used;
        for (int j = 1; j <= n; j++) {
            int above = row[j], best = diagonal + (*glob != '?' && *glob != name[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[n];
}
