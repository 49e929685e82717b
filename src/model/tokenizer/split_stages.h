/* Walks through the words of a text, of pre-tokenizers of one pattern or several. */
#ifndef LP_MODEL_TOKENIZER_SPLIT_STAGES_H
#define LP_MODEL_TOKENIZER_SPLIT_STAGES_H

#include "model/tokenizer/split.h"

enum { LP_SPLIT_STAGES = 6 };

struct lp_split_stage {
    /* End of the match at `at` < n, or `at` if there is none. */
    size_t (*match)(const lp_split_stage *stage, const uint8_t *text, size_t at, size_t n);
    bool (*in)(uint32_t c); /* match_run: {least, most} characters of this set, most 0: any number */
    int least, most;
    bool space_before;      /* match_run: \s? */
    const char *whole;      /* match_whole: name of a pattern in one piece */
};

extern const lp_split_stage lp_stages_falcon[], lp_stages_deepseek_llm[], lp_stages_deepseek_coder[], lp_stages_deepseek_v3[];

/* Set split, text and n, and the rest to zero. */
typedef struct lp_split_walk {
    const lp_split *split;
    const uint8_t *text; /* well-formed UTF-8 */
    size_t at, n;
    size_t end[LP_SPLIT_STAGES]; /* of the piece of each stage that `at` is in */
} lp_split_walk;

/* End of the word at walk->at < walk->n, which moves there. A text is walked in time linear in its length. */
size_t lp_split_walk_next(lp_split_walk *walk);

#endif
