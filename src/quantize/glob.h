/* Names of tensors chosen by pattern. */
#ifndef LP_QUANTIZE_GLOB_H
#define LP_QUANTIZE_GLOB_H

#include <stdbool.h>

/* Whether the whole name matches: * stands for any run of characters, ? for one. At most strlen(glob) * strlen(name)
 * steps, whatever the pattern. */
bool lp_glob_match(const char *glob, const char *name);

/* Edit distance (insert, delete, replace: 1 each) between a pattern without its stars and a name; both are cut at 127
 * characters. */
int lp_glob_distance(const char *glob, const char *name);

#endif
