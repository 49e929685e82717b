/* Files mapped for reading that survive truncation by somebody else. */
#ifndef LP_BASE_MAP_H
#define LP_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>

typedef struct lp_map {
    const uint8_t *data; /* NULL for an empty file */
    size_t n_bytes;
    int slot;            /* in the table of mappings that the SIGBUS handler consults */
} lp_map;

/* Maps a regular file, private and read-only. Errors: LP_INPUT ("PATH: cannot open (No such file or directory)", a
 * folder, not a regular file), LP_RESOURCE. A page that cannot be read (the file shrank, the disk failed) reads as
 * zeros from then on, and lp_map_failed tells (also of a file that only became shorter); after some hundred such pages
 * all behind the next one do. */
lp_status lp_map_open(const char *path, lp_map *map);
void lp_map_close(lp_map *map);
bool lp_map_failed(const lp_map *map);

/* The pages wholly inside [first, first + n) are not needed for now. */
void lp_map_drop(const lp_map *map, size_t first, size_t n);

#endif
