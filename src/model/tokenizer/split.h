/* Pre-tokenizers: where text is cut into words before the merges. */
#ifndef LP_MODEL_TOKENIZER_SPLIT_H
#define LP_MODEL_TOKENIZER_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum lp_contractions { LP_CONTRACTION_NONE, LP_CONTRACTION_LOWER, LP_CONTRACTION_ANY_CASE } lp_contractions;

typedef struct lp_split_stage lp_split_stage;

/* One pattern. Every known one is an alternation, first match wins, of
 *   contractions   's 't 're 've 'm 'll 'd
 *   prefix letters+         with cased, prefix U*L+ and prefix U+L*, U without lower case and L without upper, each with
 *                           a contraction behind it
 *   numbers
 *    ?others+      others: no white space, letter or number
 *   \s*[\r\n]+     with newline_runs
 *   \s+(?!\S)      a run of white space leaves its last character to what follows
 *   \s+
 */
typedef struct lp_split {
    const char *names;            /* values of tokenizer.ggml.pre, separated by spaces; the first is the usual one */
    lp_contractions contractions;
    uint32_t letters;             /* set of categories */
    bool cased;
    bool prefix_any;              /* prefix is [^\r\n letters numbers]? ; else " ?" */
    int max_numbers;              /* a number has 1..max_numbers characters; 0: any, and " ?" before it */
    bool isolate_numbers;         /* the text is first cut at every number, which ends runs of white space whole */
    bool newlines_after_others;   /* others+ takes a following [\r\n]* along; with cased [\r\n/]* */
    bool newline_runs;
    bool whole_word_first;        /* a word that is a token is not merged ("ignore_merges") */
    bool adds_bos;                /* where tokenizer.ggml.add_bos_token is absent */
    bool nfc;                     /* the text is normalized first */
    const lp_split_stage *stages; /* several patterns, one after another, instead; NULL: none (split_stages.h) */
} lp_split;

/* Row with this name, or NULL. */
const lp_split *lp_split_find(const char *name, size_t n);

/* All names, separated by spaces, at most n - 1 bytes, for messages. */
void lp_split_names(char *out, size_t n);

/* End of the word that starts at `at` < n. The text is well-formed UTF-8, the row without
 * stages. */
size_t lp_split_next(const lp_split *split, const uint8_t *text, size_t at, size_t n);

#endif
