/* The table of pre-tokenizers and the scanner that its rows drive. Card: runtime/tokenizers. */
#include <stdio.h>
#include <string.h>

#include "model/tokenizer/split_stages.h"
#include "model/tokenizer/unicode.h"

static const lp_split rows[] = {
    {.names = "gpt-2 phi-2 jais roberta-bpe jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code "
              "gigachat a.x-4.0 mellum modern-bert exaone4 trillion granite-docling",
     .contractions = LP_CONTRACTION_LOWER, .letters = LP_LETTERS},
    {.names = "olmo mpt",
     .contractions = LP_CONTRACTION_LOWER, .letters = LP_LETTERS, .nfc = true},
    {.names = "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
     .contractions = LP_CONTRACTION_LOWER, .letters = LP_LETTERS, .isolate_numbers = true, .max_numbers = 1},
    {.names = "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     .contractions = LP_CONTRACTION_ANY_CASE, .letters = LP_LETTERS, .prefix_any = true, .max_numbers = 3,
     .newlines_after_others = true, .newline_runs = true, .whole_word_first = true, .adds_bos = true},
    {.names = "dbrx smaug-bpe chatglm-bpe",
     .contractions = LP_CONTRACTION_ANY_CASE, .letters = LP_LETTERS, .prefix_any = true, .max_numbers = 3,
     .newlines_after_others = true, .newline_runs = true},
    {.names = "glm4 glm5",
     .contractions = LP_CONTRACTION_ANY_CASE, .letters = LP_LETTERS, .prefix_any = true, .max_numbers = 3,
     .newlines_after_others = true, .newline_runs = true, .whole_word_first = true},
    {.names = "qwen2",
     .contractions = LP_CONTRACTION_ANY_CASE, .letters = LP_LETTERS, .prefix_any = true, .max_numbers = 1,
     .newlines_after_others = true, .newline_runs = true, .nfc = true},
    {.names = "deepseek-r1-qwen stablelm2 hunyuan megrez kormo f2llmv2 solar-open grok-2",
     .contractions = LP_CONTRACTION_ANY_CASE, .letters = LP_LETTERS, .prefix_any = true, .max_numbers = 1,
     .newlines_after_others = true, .newline_runs = true},
    {.names = "qwen35",
     .contractions = LP_CONTRACTION_ANY_CASE, .letters = LP_LETTERS | LP_MARKS, .prefix_any = true, .max_numbers = 1,
     .newlines_after_others = true, .newline_runs = true},
    {.names = "ufakzeka",
     .contractions = LP_CONTRACTION_NONE, .letters = LP_LETTERS, .prefix_any = true, .max_numbers = 1,
     .newlines_after_others = true, .newline_runs = true},
    {.names = "tekken",
     .contractions = LP_CONTRACTION_NONE, .letters = LP_LETTERS, .cased = true, .prefix_any = true, .max_numbers = 1,
     .newlines_after_others = true, .newline_runs = true, .whole_word_first = true, .adds_bos = true},
    {.names = "gpt-4o llama4 kanana2 talkie minimax-m2",
     .contractions = LP_CONTRACTION_ANY_CASE, .letters = LP_LETTERS, .cased = true, .prefix_any = true, .max_numbers = 3,
     .newlines_after_others = true, .newline_runs = true},
    {.names = "falcon", .stages = lp_stages_falcon},
    {.names = "deepseek-llm", .stages = lp_stages_deepseek_llm},
    {.names = "deepseek-coder", .stages = lp_stages_deepseek_coder},
    {.names = "deepseek-v3 hunyuan-dense joyai-llm hy_v4", .stages = lp_stages_deepseek_v3},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

const lp_split *lp_split_find(const char *name, size_t n)
{
    if (!n || memchr(name, ' ', n)) return NULL;
    for (int i = 0; i < N_ROWS; i++)
        for (const char *p = rows[i].names; *p;) {
            size_t length = strcspn(p, " ");
            if (length == n && !memcmp(p, name, n)) return &rows[i];
            p += length + (p[length] == ' ');
        }
    return NULL;
}

void lp_split_names(char *out, size_t n)
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < N_ROWS && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, "%s%s", i ? " " : "", rows[i].names);
}

/* ---- scanner ------------------------------------------------------------------------------------------------------ */

/* Categories of the bytes below 0x80. NOT_ASCII is in no set, so that runs of ASCII stop there and the decoder goes on. */
enum { NOT_ASCII = LP_CATEGORY_COUNT };
#define SAME8(c) c, c, c, c, c, c, c, c
#define SAME32(c) SAME8(c), SAME8(c), SAME8(c), SAME8(c)
static const uint8_t ascii[256] = {
    LP_CC, LP_CC, LP_CC, LP_CC, LP_CC, LP_CC, LP_CC, LP_CC, LP_CC, LP_CONTROL_SPACE, LP_NEWLINE, LP_CONTROL_SPACE,
    LP_CONTROL_SPACE, LP_NEWLINE, LP_CC, LP_CC, SAME8(LP_CC), SAME8(LP_CC),
    /*   ! " # $ % & ' */ LP_ZS, LP_PO, LP_PO, LP_PO, LP_SC, LP_PO, LP_PO, LP_PO,
    /* ( ) * + , - . / */ LP_PS, LP_PE, LP_PO, LP_SM, LP_PO, LP_PD, LP_PO, LP_PO,
    /* 0 ... 7 */ SAME8(LP_ND),
    /* 8 9 : ; < = > ? */ LP_ND, LP_ND, LP_PO, LP_PO, LP_SM, LP_SM, LP_SM, LP_PO,
    /* @ A ... O */ LP_PO, LP_LU, LP_LU, LP_LU, LP_LU, LP_LU, LP_LU, LP_LU, SAME8(LP_LU),
    /* P ... W */ SAME8(LP_LU), /* X Y Z [ \ ] ^ _ */ LP_LU, LP_LU, LP_LU, LP_PS, LP_PO, LP_PE, LP_SK, LP_PC,
    /* ` a ... o */ LP_SK, LP_LL, LP_LL, LP_LL, LP_LL, LP_LL, LP_LL, LP_LL, SAME8(LP_LL),
    /* p ... w */ SAME8(LP_LL), /* x y z { | } ~ DEL */ LP_LL, LP_LL, LP_LL, LP_PS, LP_SM, LP_PE, LP_SM, LP_CC,
    SAME32(NOT_ASCII), SAME32(NOT_ASCII), SAME32(NOT_ASCII), SAME32(NOT_ASCII)};

/* Set of the character at `at` and its end; the empty set at the end of the text. */
static inline uint32_t set_at(const uint8_t *text, size_t at, size_t n, size_t *next)
{
    if (at >= n) return *next = at, 0;
    uint8_t category = ascii[text[at]];
    if (category != NOT_ASCII) return *next = at + 1, LP_SET(category);
    return lp_category_set(lp_utf8_decode(text, at, next));
}

/* End of the run of characters of a set. */
static size_t run_end(const uint8_t *text, size_t at, size_t n, uint32_t set)
{
    for (;;) {
        while (at < n && (uint64_t)set >> ascii[text[at]] & 1) at++;
        if (at >= n || text[at] < 0x80) return at;
        size_t next;
        if (!(lp_category_set(lp_utf8_decode(text, at, &next)) & set)) return at;
        at = next;
    }
}

/* Bytes of the contraction at `at`, where an apostrophe stands; 0: none. */
static size_t contraction(lp_contractions kind, const uint8_t *text, size_t at, size_t n)
{
    static const struct {
        uint8_t n;
        char text[3];
    } known[] = {{1, "s"}, {1, "t"}, {2, "re"}, {2, "ve"}, {1, "m"}, {2, "ll"}, {1, "d"}};
    if (kind == LP_CONTRACTION_NONE) return 0;
    uint8_t fold = kind == LP_CONTRACTION_ANY_CASE ? 0x20 : 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t k = 0;
        while (k < known[i].n && at + 1 + k < n && (text[at + 1 + k] | fold) == known[i].text[k]) k++;
        if (k == known[i].n) return 1 + k;
    }
    /* U+017F folds to s, and the patterns' (?i) knows that. */
    if (fold && n - at >= 3 && text[at + 1] == 0xc5 && text[at + 2] == 0xbf) return 3;
    return 0;
}

/* End of the word in a run of white space. */
static size_t space_end(const lp_split *split, const uint8_t *text, size_t at, size_t n)
{
    size_t end = at, last = at, after_newline = 0, next;
    for (uint32_t set; (set = set_at(text, end, n, &next)) & LP_SPACES; end = next) {
        last = end;
        if (set & LP_NEWLINES) after_newline = next;
    }
    if (split->newline_runs && after_newline) return after_newline;
    if (end >= n || last == at) return end;
    if (split->isolate_numbers && set_at(text, end, n, &next) & LP_NUMBERS) return end;
    return last;
}

/* What may stand before lower case, and what may stand after upper case. */
enum { UPPER = (LP_LETTERS | LP_MARKS) & ~LP_SET(LP_LL), LOWER = (LP_LETTERS | LP_MARKS) & ~(LP_SET(LP_LU) | LP_SET(LP_LT)) };

/* UPPER*LOWER+ at `at`: its end, or `at`. Where no lower case follows, the run gives back up to the last character that is
 * in both sets. */
static size_t upper_lower(const uint8_t *text, size_t at, size_t n)
{
    size_t next, both = at, end = at;
    uint32_t set;
    for (; (set = set_at(text, end, n, &next)) & UPPER; end = next)
        if (set & LOWER) both = next;
    size_t lower = run_end(text, end, n, LOWER);
    return lower > end ? lower : both;
}

/* The word of cased letters at `at`, or `at`. */
static size_t cased_word(const lp_split *split, const uint8_t *text, size_t at, size_t n)
{
    size_t next, end;
    bool prefix = !(set_at(text, at, n, &next) & (LP_NEWLINES | LP_LETTERS | LP_NUMBERS));
    if (prefix && (end = upper_lower(text, next, n)) > next) goto found;
    if ((end = upper_lower(text, at, n)) > at) goto found;
    if (prefix && (end = run_end(text, next, n, UPPER)) > next) goto found;
    if ((end = run_end(text, at, n, UPPER)) == at) return at;
found:
    return end < n && text[end] == '\'' ? end + contraction(split->contractions, text, end, n) : end;
}

size_t lp_split_next(const lp_split *split, const uint8_t *text, size_t at, size_t n)
{
    size_t next, after_space;
    uint32_t letters = split->letters, first = set_at(text, at, n, &next);
    if (split->cased) {
        size_t end = cased_word(split, text, at, n);
        if (end > at) return end;
    } else if (text[at] == '\'') {
        size_t length = contraction(split->contractions, text, at, n);
        if (length) return at + length;
    }
    /* What follows an optional space. */
    uint32_t second = first;
    after_space = next;
    if (text[at] == ' ') second = set_at(text, next, n, &after_space);

    if (split->prefix_any && !split->cased) {
        if (first & letters) return run_end(text, next, n, letters);
        size_t after_prefix;
        if (!(first & (LP_NEWLINES | LP_NUMBERS)) && set_at(text, next, n, &after_prefix) & letters)
            return run_end(text, after_prefix, n, letters);
    } else if (!split->prefix_any && second & letters) {
        return run_end(text, after_space, n, letters);
    }

    if (!split->max_numbers) {
        if (second & LP_NUMBERS) return run_end(text, after_space, n, LP_NUMBERS);
    } else if (first & LP_NUMBERS) {
        size_t end = next;
        for (int i = 1; i < split->max_numbers && set_at(text, end, n, &next) & LP_NUMBERS; i++) end = next;
        return end;
    }

    uint32_t others = ~(LP_SPACES | letters | LP_NUMBERS);
    if (second & others) {
        size_t end = run_end(text, after_space, n, others);
        if (!split->newlines_after_others) return end;
        if (split->cased)
            while (end < n && (text[end] == '\r' || text[end] == '\n' || text[end] == '/')) end++;
        return run_end(text, end, n, LP_NEWLINES);
    }
    return space_end(split, text, at, n);
}
