/* Lists of the entries near every pattern that is not in a code book. Filled once; the sizes are those of the books. */
#include "quantize/search/book.h"

#include <pthread.h>
#include <string.h>

#include "format/codebook.h"

enum { MOST_DISTANCE = 256, PATTERNS_8 = 65536, PATTERNS_4 = 4096 };

static int32_t place_iq2_xxs[PATTERNS_8], place_iq2_xs[PATTERNS_8], place_iq2_s[PATTERNS_8], place_iq1[PATTERNS_8];
static int32_t place_iq3_xxs[PATTERNS_4], place_iq3_s[PATTERNS_4];
static uint16_t near_iq2_xxs[119462], near_iq2_xs[187770], near_iq2_s[50253], near_iq1[332234], near_iq3_xxs[22825], near_iq3_s[28317];

#define BOOK(name, dims, bits, levels, distances)                                                                   \
    {lp_codebook_##name, sizeof lp_codebook_##name / sizeof lp_codebook_##name[0], dims, bits, levels, distances,  \
     place_##name, near_##name, sizeof near_##name / sizeof near_##name[0]}
static const lp_book books[LP_BOOK_COUNT] = {
    BOOK(iq2_xxs, 8, 2, 3, 2), BOOK(iq2_xs, 8, 2, 3, 2), BOOK(iq2_s, 8, 2, 3, 1),
    BOOK(iq1, 8, 2, 3, 3),     BOOK(iq3_xxs, 4, 3, 8, 2), BOOK(iq3_s, 4, 3, 8, 3),
};

static int distance(const lp_book *book, int pattern, int entry)
{
    int sum = 0;
    for (int i = 0; i < book->dims; i++) {
        int d = (pattern >> book->bits * i & ((1 << book->bits) - 1)) - lp_book_level(book, entry, i);
        sum += d * d;
    }
    return sum;
}

static bool is_pattern(const lp_book *book, int pattern)
{
    for (int i = 0; i < book->dims; i++)
        if ((pattern >> book->bits * i & ((1 << book->bits) - 1)) >= book->n_levels) return false;
    return true;
}

/* Appends the list of a pattern at `at`; returns its end. */
static int list_near(const lp_book *book, int pattern, int at)
{
    int far[2048];
    bool occurs[MOST_DISTANCE] = {false};
    for (int e = 0; e < book->n; e++) {
        far[e] = distance(book, pattern, e);
        occurs[far[e]] = true;
    }
    int count = 0, n_distances = 0;
    for (int d = 0; d < MOST_DISTANCE && n_distances < book->n_distances; d++) {
        if (!occurs[d]) continue;
        n_distances++;
        for (int e = 0; e < book->n; e++)
            if (far[e] == d) book->near[at + ++count] = (uint16_t)e;
    }
    book->near[at] = (uint16_t)count;
    return at + 1 + count;
}

static void fill(const lp_book *book)
{
    int n_patterns = 1 << book->dims * book->bits, at = 0;
    for (int p = 0; p < n_patterns; p++) book->place[p] = -1;
    for (int e = 0; e < book->n; e++) book->place[book->entry[e]] = e;
    for (int p = 0; p < n_patterns; p++) {
        if (book->place[p] >= 0 || !is_pattern(book, p)) continue;
        book->place[p] = -1 - at;
        at = list_near(book, p, at);
    }
}

#define FILL(id) static void fill_##id(void) { fill(&books[id]); }
FILL(LP_BOOK_IQ2_XXS)
FILL(LP_BOOK_IQ2_XS)
FILL(LP_BOOK_IQ2_S)
FILL(LP_BOOK_IQ1)
FILL(LP_BOOK_IQ3_XXS)
FILL(LP_BOOK_IQ3_S)

const lp_book *lp_book_get(lp_book_id id)
{
    static pthread_once_t once[LP_BOOK_COUNT] = {PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT,
                                                 PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT, PTHREAD_ONCE_INIT};
    static void (*const fills[LP_BOOK_COUNT])(void) = {fill_LP_BOOK_IQ2_XXS, fill_LP_BOOK_IQ2_XS,  fill_LP_BOOK_IQ2_S,
                                                       fill_LP_BOOK_IQ1,     fill_LP_BOOK_IQ3_XXS, fill_LP_BOOK_IQ3_S};
    pthread_once(&once[id], fills[id]);
    return &books[id];
}
