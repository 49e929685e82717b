/* Code books as a search asks them: whether a pattern is an entry, and which entries are near one that is not. */
#ifndef LP_QUANTIZE_SEARCH_BOOK_H
#define LP_QUANTIZE_SEARCH_BOOK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct lp_book {
    const uint16_t *entry;
    int n, dims, bits;   /* entries, levels of an entry, bits per level */
    int n_levels;
    int n_distances;     /* near entries are those at so many least distances */
    int32_t *place;      /* [2^(dims bits)] of a pattern: its index, or -1 - its place in near */
    uint16_t *near;      /* count, then entries, by distance and index */
    int n_near;          /* length of all lists */
} lp_book;

typedef enum lp_book_id { LP_BOOK_IQ2_XXS, LP_BOOK_IQ2_XS, LP_BOOK_IQ2_S, LP_BOOK_IQ1, LP_BOOK_IQ3_XXS, LP_BOOK_IQ3_S, LP_BOOK_COUNT } lp_book_id;

/* Ready to use; its lists are made at the first call, once, whatever the threads. */
const lp_book *lp_book_get(lp_book_id id);

static inline int lp_book_level(const lp_book *book, int entry, int i)
{
    return book->entry[entry] >> book->bits * i & ((1 << book->bits) - 1);
}

#endif
