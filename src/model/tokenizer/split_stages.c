/* Pre-tokenizers of several patterns, one applied to the pieces that the one before left. Card: runtime/tokenizers. */
#include "model/tokenizer/split_stages.h"
#include "model/tokenizer/unicode.h"

/* ---- sets of characters ------------------------------------------------------------------------------------------- */

static bool between(uint32_t c, uint32_t first, uint32_t last) { return c >= first && c <= last; }

static bool is_space(uint32_t c) { return lp_category_set(c) & LP_SPACES; }
static bool is_newline(uint32_t c) { return c == '\n' || c == '\r'; }
static bool is_letter(uint32_t c) { return lp_category_set(c) & LP_LETTERS; }
static bool is_number(uint32_t c) { return lp_category_set(c) & LP_NUMBERS; }
static bool is_digit(uint32_t c) { return between(c, '0', '9'); }
static bool is_punctuation(uint32_t c) { return lp_category_set(c) & LP_PUNCTUATION; }
static bool is_ascii_letter(uint32_t c) { return between(c | 0x20, 'a', 'z'); }

/* \p{P} and the symbols of ASCII */
static bool is_falcon_punctuation(uint32_t c)
{
    return lp_category_set(c) & (c < 0x80 ? LP_PUNCTUATION | LP_SYMBOLS : LP_PUNCTUATION);
}

static bool is_deepseek_punctuation(uint32_t c)
{
    return between(c, '!', '/') || between(c, ':', '~') || between(c, 0xff01, 0xff0f) || between(c, 0xff1a, 0xff5e) ||
           between(c, 0x2018, 0x201f) || between(c, 0x3000, 0x3002);
}

static bool is_deepseek_asian(uint32_t c) { return between(c, 0x800, 0x9fa5) || between(c, 0xac00, 0xd7ff); }

static bool is_han_or_kana(uint32_t c) { return between(c, 0x4e00, 0x9fa5) || between(c, 0x3040, 0x30ff); }

/* The letters that DeepSeek LLM's pattern lists: those with case of an older Unicode, with a few gaps. */
static bool is_deepseek_letter(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } range[] = {
    {0x41, 0x5a}, {0x61, 0x7a}, {0xb5, 0xb5}, {0xc0, 0xd6}, {0xd8, 0xf6}, {0xf8, 0x1ba}, {0x1bc, 0x1bf},
    {0x1c4, 0x293}, {0x295, 0x2af}, {0x370, 0x373}, {0x376, 0x376}, {0x377, 0x377}, {0x37b, 0x37d}, {0x37f, 0x37f},
    {0x386, 0x386}, {0x388, 0x38a}, {0x38c, 0x38c}, {0x38e, 0x3a1}, {0x3a3, 0x3f5}, {0x3f7, 0x481}, {0x48a, 0x52f},
    {0x531, 0x556}, {0x10a0, 0x10c5}, {0x13a0, 0x13f5}, {0x13f8, 0x13fd}, {0x1c90, 0x1cba}, {0x1cbd, 0x1cbf},
    {0x1d00, 0x1d2b}, {0x1d6b, 0x1d77}, {0x1d79, 0x1d9a}, {0x1e00, 0x1f15}, {0x1f18, 0x1f1d}, {0x1f20, 0x1f45},
    {0x1f48, 0x1f4d}, {0x1f50, 0x1f57}, {0x1f59, 0x1f59}, {0x1f5b, 0x1f5b}, {0x1f5d, 0x1f5d}, {0x1f5f, 0x1f7d},
    {0x1f80, 0x1fb4}, {0x1fb6, 0x1fbc}, {0x1fbe, 0x1fbe}, {0x1fc2, 0x1fc4}, {0x1fc6, 0x1fcc}, {0x1fd0, 0x1fd3},
    {0x1fd6, 0x1fdb}, {0x1fe0, 0x1fec}, {0x1ff2, 0x1ff4}, {0x1ff6, 0x1ffc}, {0x2102, 0x2102}, {0x2107, 0x2107},
    {0x210a, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211d}, {0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128},
    {0x212a, 0x212d}, {0x212f, 0x2134}, {0x2139, 0x2139}, {0x213c, 0x213f}, {0x2145, 0x2149}, {0x214e, 0x214e},
    {0x2183, 0x2183}, {0x2184, 0x2184}, {0x2c00, 0x2c7b}, {0x2c7e, 0x2ce4}, {0x2ceb, 0x2cee}, {0x2cf2, 0x2cf2},
    {0x2cf3, 0x2cf3}, {0xa640, 0xa66d}, {0xa680, 0xa69b}, {0xa722, 0xa76f}, {0xa771, 0xa787}, {0xa78b, 0xa78e},
    {0xab70, 0xabbf}, {0xfb00, 0xfb06}, {0xfb13, 0xfb17}, {0xff21, 0xff3a}, {0xff41, 0xff5a}, {0x10400, 0x1044f},
    {0x104b0, 0x104d3}, {0x104d8, 0x104fb}, {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df},
    {0x1e900, 0x1e943},
    };
    size_t low = 0, high = sizeof range / sizeof *range;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > range[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sizeof range / sizeof *range && c >= range[low].first;
}

/* ---- patterns ----------------------------------------------------------------------------------------------------- */

static size_t match_run(const lp_split_stage *stage, const uint8_t *text, size_t at, size_t n)
{
    size_t next, end = at;
    uint32_t c = lp_utf8_decode(text, at, &next);
    if (stage->space_before && is_space(c) && next < n) {
        size_t after;
        if (stage->in(lp_utf8_decode(text, next, &after))) end = next;
    }
    int count = 0;
    while (end < n && (!stage->most || count < stage->most) && stage->in(lp_utf8_decode(text, end, &next))) {
        end = next;
        count++;
    }
    return count && count >= stage->least ? end : at;
}

enum { WORDS = LP_LETTERS | LP_MARKS, SIGNS = LP_PUNCTUATION | LP_SYMBOLS };

static uint32_t set_of(const uint8_t *text, size_t at, size_t n, size_t *next)
{
    if (at >= n) return *next = at, 0;
    return lp_category_set(lp_utf8_decode(text, at, next));
}

static size_t run_of(const uint8_t *text, size_t at, size_t n, uint32_t set)
{
    size_t next;
    while (set_of(text, at, n, &next) & set) at = next;
    return at;
}

/* [!-/:-@\[-`{-~][A-Za-z]+ | [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ |  ?[\p{P}\p{S}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+ */
static size_t match_deepseek_v3(const lp_split_stage *stage, const uint8_t *text, size_t at, size_t n)
{
    (void)stage;
    size_t next, after, end;
    uint32_t first = set_of(text, at, n, &next);
    if (first & SIGNS && text[at] < 0x80) {
        end = next;
        while (end < n && text[end] < 0x80 && is_ascii_letter(text[end])) end++;
        if (end > next) return end;
    }
    if (first & WORDS) return run_of(text, next, n, WORDS);
    if (!(first & (LP_NEWLINES | SIGNS)) && set_of(text, next, n, &after) & WORDS) return run_of(text, after, n, WORDS);
    size_t signs = text[at] == ' ' ? next : at;
    if (set_of(text, signs, n, &after) & SIGNS) return run_of(text, run_of(text, after, n, SIGNS), n, LP_NEWLINES);
    size_t last = at, after_newline = 0;
    end = at;
    for (uint32_t set; (set = set_of(text, end, n, &next)) & LP_SPACES; end = next) {
        last = end;
        if (set & LP_NEWLINES) after_newline = next;
    }
    if (after_newline) return after_newline;
    return end >= n || last == at ? end : last;
}

/* \s+$ */
static size_t match_spaces_at_end(const lp_split_stage *stage, const uint8_t *text, size_t at, size_t n)
{
    (void)stage;
    return run_of(text, at, n, LP_SPACES) == n ? n : at;
}

/* A pattern whose matches leave no gap. */
static size_t match_whole(const lp_split_stage *stage, const uint8_t *text, size_t at, size_t n)
{
    size_t length = 0;
    while (stage->whole[length]) length++;
    return lp_split_next(lp_split_find(stage->whole, length), text, at, n);
}

const lp_split_stage lp_stages_falcon[] = {
    {.match = match_run, .in = is_falcon_punctuation},
    {.match = match_whole, .whole = "gpt-2"},
    {.match = match_run, .in = is_digit, .least = 3, .most = 3},
    {0},
};
const lp_split_stage lp_stages_deepseek_llm[] = {
    {.match = match_run, .in = is_newline, .most = 1},
    {.match = match_run, .in = is_deepseek_letter, .space_before = true},
    {.match = match_run, .in = is_deepseek_punctuation, .space_before = true},
    {.match = match_spaces_at_end},
    {.match = match_run, .in = is_deepseek_asian},
    {.match = match_run, .in = is_number},
    {0},
};
const lp_split_stage lp_stages_deepseek_coder[] = {
    {.match = match_run, .in = is_newline, .most = 1},
    {.match = match_run, .in = is_letter, .space_before = true},
    {.match = match_run, .in = is_punctuation, .space_before = true},
    {.match = match_run, .in = is_deepseek_asian},
    {.match = match_run, .in = is_number, .most = 1},
    {0},
};
const lp_split_stage lp_stages_deepseek_v3[] = {
    {.match = match_run, .in = is_number, .most = 3},
    {.match = match_run, .in = is_han_or_kana},
    {.match = match_deepseek_v3},
    {0},
};

/* ---- the walk ----------------------------------------------------------------------------------------------------- */

/* End of the first piece of text[at..n): a match, or what lies before the next one. */
static size_t first_piece(const lp_split_stage *stage, const uint8_t *text, size_t at, size_t n)
{
    size_t end = stage->match(stage, text, at, n), gap = at;
    if (end > at) return end;
    while (gap < n) {
        /* No run of white space is tried from each of its characters. */
        size_t spaces = stage->match == match_spaces_at_end ? run_of(text, gap, n, LP_SPACES) : gap;
        if (spaces > gap)
            gap = spaces;
        else
            lp_utf8_decode(text, gap, &gap);
        if (gap < n && stage->match(stage, text, gap, n) > gap) break;
    }
    return gap;
}

size_t lp_split_walk_next(lp_split_walk *walk)
{
    const lp_split_stage *stages = walk->split->stages;
    if (!stages) return walk->at = lp_split_next(walk->split, walk->text, walk->at, walk->n);
    size_t limit = walk->n;
    for (int k = 0; k < LP_SPLIT_STAGES && stages[k].match; k++) {
        if (walk->end[k] <= walk->at) walk->end[k] = first_piece(&stages[k], walk->text, walk->at, limit);
        limit = walk->end[k];
    }
    return walk->at = limit;
}
