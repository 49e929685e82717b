/* Byte-level BPE over the small vocabulary of the card: ids, special tokens, bytes that are no text, hard inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"
#include "mini_vocabulary.h"

static mini m;

static lp_tokenizer *create(void)
{
    lp_tokenizer *t;
    if (lp_tokenizer_create_from(&m.source, &t) != LP_OK) fail_msg("%s", lp_error());
    return t;
}

static lp_tokenizer *create_mini(const char *pre, bool extended)
{
    mini_fill(&m, pre, extended);
    return create();
}

/* Ends with -1. */
static void expect(const lp_tokenizer *t, const char *text, size_t n, bool parse_special, const int32_t *wanted)
{
    int32_t *ids;
    size_t n_ids, i = 0;
    assert_int_equal(lp_tokenizer_encode(t, text, n, parse_special, false, &ids, &n_ids), LP_OK);
    for (; wanted[i] >= 0; i++) {
        assert_true(i < n_ids);
        assert_int_equal(ids[i], wanted[i]);
    }
    assert_int_equal(n_ids, i);
    assert_true((ids == NULL) == (n_ids == 0));
    free(ids);
}

#define EXPECT(t, text, special, ...) expect(t, text, sizeof text - 1, special, (int32_t[]){__VA_ARGS__, -1})

static void the_cards_vocabulary_gives_the_cards_ids(void **state)
{
    (void)state;
    lp_tokenizer *t = create_mini("gpt-2", false);
    EXPECT(t, "hello world", true, 259, 264);
    EXPECT(t, "hello  world", true, 259, 32, 264);
    EXPECT(t, "helloo", true, 259, 111);
    EXPECT(t, "lo", true, 266);
    EXPECT(t, "\xc3\xa9", true, 267);
    EXPECT(t, "world12", true, 119, 261, 108, 100, 49, 50);
    EXPECT(t, "<|im_start|>hello", true, 268, 259);
    EXPECT(t, "<|im_start|>hello", false, 60, 124, 105, 109, 95, 115, 116, 97, 114, 116, 124, 62, 259);
    expect(t, NULL, 0, true, (int32_t[]){-1});
    expect(t, "a\0b", 3, true, (int32_t[]){97, 0, 98, -1});
    lp_tokenizer_free(t);
}

static void byte_characters_follow_the_card(void **state)
{
    (void)state;
    static const struct {
        uint8_t byte;
        uint32_t character;
    } known[] = {{' ', 0x120}, {'\n', 0x10a}, {'\t', 0x109}, {0xa0, 0x142}, {0xad, 0x143}, {0, 0x100}, {0x7f, 0x121}, {'!', '!'}, {0xff, 0xff}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) assert_int_equal(lp_byte_character(known[i].byte), known[i].character);
    uint32_t next = 0x100;
    for (int b = 0; b < 256; b++) {
        uint32_t c = lp_byte_character((uint8_t)b);
        assert_int_equal(lp_character_byte(c), b);
        if (c != (uint32_t)b) assert_int_equal(c, next++);
    }
    assert_int_equal(next, 0x100 + 68);
    assert_int_equal(lp_character_byte(' '), -1);
    assert_int_equal(lp_character_byte(0xad), -1);
    assert_int_equal(lp_character_byte(0x144), -1);
    assert_int_equal(lp_character_byte(0x10ffff), -1);
}

static void tokens_give_their_bytes_and_control_tokens_only_when_asked(void **state)
{
    (void)state;
    lp_tokenizer *t = create_mini("gpt-2", true);
    for (int b = 0; b < 256; b++) {
        lp_string s = lp_tokenizer_bytes(t, b, false);
        assert_int_equal(s.n, 1);
        assert_int_equal((uint8_t)s.data[0], b);
    }
    assert_int_equal(lp_tokenizer_bytes(t, 264, false).n, 6);
    assert_memory_equal(lp_tokenizer_bytes(t, 264, false).data, " world", 6);
    assert_int_equal(lp_tokenizer_token(t, 264).n, 7);
    assert_int_equal(lp_tokenizer_bytes(t, MINI_CONTROL, false).n, 0);
    assert_int_equal(lp_tokenizer_bytes(t, MINI_CONTROL, true).n, 12);
    assert_int_equal(lp_tokenizer_bytes(t, MINI_UNKNOWN, false).n, 0);
    assert_int_equal(lp_tokenizer_bytes(t, MINI_XYX, false).n, 3);
    assert_int_equal(lp_tokenizer_bytes(t, -1, true).n, 0);
    assert_int_equal(lp_tokenizer_bytes(t, EXTENDED_TOKENS, true).n, 0);
    assert_int_equal(lp_tokenizer_size(t), EXTENDED_TOKENS);
    lp_tokenizer_free(t);
}

static void a_byte_that_is_not_utf8_becomes_one_replacement_character(void **state)
{
    (void)state;
    lp_tokenizer *t = create_mini("gpt-2", true);
    enum { R = 277 }; /* U+FFFD */
    EXPECT(t, "\x80", true, R);
    EXPECT(t, "c\xe4\xbd" "d", true, 'c', R, R, 'd');
    EXPECT(t, "c\xff", true, 'c', R);
    EXPECT(t, "\xf0\x9f\x98", true, R, R, R);
    EXPECT(t, "\xc0\x80", true, R, R);         /* overlong */
    EXPECT(t, "\xe0\x80\xaf", true, R, R, R);
    EXPECT(t, "\xed\xa0\x80", true, R, R, R);  /* a surrogate */
    EXPECT(t, "\xf4\x90\x80\x80", true, R, R, R, R); /* above U+10FFFF */
    EXPECT(t, "\xf5", true, R);
    EXPECT(t, "\xe4<|im_start|>\xbd", true, R, MINI_CONTROL, R);
    EXPECT(t, "\xf4\x8f\xbf\xbf", true, 0xf4, 0x8f, 0xbf, 0xbf); /* U+10FFFF */
    lp_tokenizer_free(t);
}

static void user_defined_texts_match_in_any_text_and_the_longest_first(void **state)
{
    (void)state;
    lp_tokenizer *t = create_mini("gpt-2", true);
    EXPECT(t, "xyx", false, MINI_XYX);
    EXPECT(t, "cyxy", false, 'c', MINI_YXY);
    EXPECT(t, "xyxyx", false, MINI_XYXY, MINI_X);   /* not x + yxy + x, not xyx first */
    EXPECT(t, "yxyxy", false, 'y', MINI_XYXY);      /* the longest, though yxy begins before it */
    EXPECT(t, "xyxxyxy", false, MINI_XYX, MINI_XYXY);
    EXPECT(t, "<|im_start|>xyx", true, MINI_START_XY, MINI_X);
    EXPECT(t, "<|im_start|>xx", true, MINI_CONTROL, MINI_X, MINI_X);
    EXPECT(t, "<unk>", true, MINI_UNKNOWN);
    EXPECT(t, "<unk>", false, '<', 'u', 'n', 'k', '>');
    lp_tokenizer_free(t);
}

static void special_tokens_are_found_as_by_cutting_text_by_text(void **state)
{
    (void)state;
    static const char *const parts[] = {"x", "y", "xy", "<|im_start|>", "<|im", "_start|>", "<unk>", " ", "a"};
    lp_tokenizer *t = create_mini("gpt-2", true);
    for (uint32_t round = 0; round < 3000; round++) {
        uint8_t text[512];
        int32_t owner[512];
        size_t n = 0;
        for (uint32_t i = 0; i < 12; i++) {
            const char *part = parts[lp_random_word(11, i, round, 0, 1, 0) % 9];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        for (int parse_special = 0; parse_special < 2; parse_special++) {
            plain_special(&m.source, parse_special, text, n, owner);
            lp_special_walk walk = {.special = parse_special ? &t->special : &t->user_defined, .text = text, .n = n};
            lp_special_match match;
            bool found;
            size_t at = 0;
            for (;;) {
                assert_int_equal(lp_special_next(&walk, &match, &found), LP_OK);
                size_t end = found ? match.begin : n;
                assert_true(end >= at);
                for (; at < end; at++) assert_int_equal(owner[at], 0);
                if (!found) break;
                assert_int_equal(match.end - match.begin, t->vocabulary.text[match.id].n);
                for (; at < match.end; at++) assert_int_equal(owner[at], match.id + 1);
            }
            lp_special_walk_end(&walk);
        }
    }
    lp_tokenizer_free(t);
}

/* Words from few letters, so that merges compete, shorter and longer than what is scanned pair by pair. */
static void words_merge_as_by_trying_every_merge_in_order(void **state)
{
    (void)state;
    static const char letters[] = "aabbhel lo\xc3\xa9\xef\xbf\xbd 12'";
    lp_tokenizer *t = create_mini("gpt-2", true);
    for (uint32_t round = 0; round < 4000; round++) {
        uint8_t word[80];
        int32_t ids[80], wanted[80];
        char text[160];
        plain_piece piece[80];
        size_t n = 1 + lp_random_word(12, 1000, round, 0, 1, 0) % 80, n_ids = n;
        uint32_t kinds = round % 2 ? 4 : sizeof letters - 1;
        for (size_t i = 0; i < n; i++) {
            word[i] = (uint8_t)letters[lp_random_word(12, i, round, 0, 1, 0) % kinds];
            ids[i] = t->byte_id[word[i]];
        }
        lp_bpe_scratch scratch = {0};
        assert_int_equal(lp_bpe_merge(&t->merges, &scratch, ids, &n_ids), LP_OK);
        lp_bpe_scratch_free(&scratch);
        assert_int_equal(n_ids, plain_word(&m.source, word, n, wanted, text, piece));
        assert_memory_equal(ids, wanted, n_ids * sizeof *ids);
    }
    lp_tokenizer_free(t);
}

static void valid_text_comes_back_from_its_ids(void **state)
{
    (void)state;
    static const char *const pre[] = {"gpt-2", "smollm", "llama-bpe", "stablelm2", "tekken", "glm4", "dbrx", "ufakzeka"};
    for (size_t p = 0; p < sizeof pre / sizeof *pre; p++) {
        lp_tokenizer *t = create_mini(pre[p], true);
        for (uint32_t round = 0; round < 300; round++) {
            char text[256], back[300];
            size_t n = 0, n_back = 0, n_ids;
            for (uint32_t i = 0; n < 200; i++) {
                uint32_t u = lp_random_word(13, i, round, 0, 1, 0), c = u >> 8;
                c = (u & 3) == 0 ? c % 0x80 : (u & 3) == 1 ? c % 0x800 : (u & 3) == 2 ? c % 0xd800 : 0x10000 + c % 0x100000;
                if (c < 0x800) {
                    n += (size_t)lp_utf8_encode_short(c, (uint8_t *)text + n);
                } else if (c < 0x10000) {
                    text[n++] = (char)(0xe0 | c >> 12);
                    text[n++] = (char)(0x80 | (c >> 6 & 63));
                    text[n++] = (char)(0x80 | (c & 63));
                } else {
                    text[n++] = (char)(0xf0 | c >> 18);
                    text[n++] = (char)(0x80 | (c >> 12 & 63));
                    text[n++] = (char)(0x80 | (c >> 6 & 63));
                    text[n++] = (char)(0x80 | (c & 63));
                }
            }
            int32_t *ids;
            assert_int_equal(lp_tokenizer_encode(t, text, n, false, false, &ids, &n_ids), LP_OK);
            for (size_t i = 0; i < n_ids; i++) {
                lp_string s = lp_tokenizer_bytes(t, ids[i], false);
                memcpy(back + n_back, s.data, s.n);
                n_back += s.n;
            }
            assert_int_equal(n_back, n);
            assert_memory_equal(back, text, n);
            free(ids);
        }
        lp_tokenizer_free(t);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void a_megabyte_of_one_thing_takes_no_time(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    static const char *const things[] = {"a", " ", "\n", "\x80", "x", "xy", "ab", "'", "1", "\xc3\xa9", "<", "<|im_start|", "\xff", "a ", "aaab"};
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t k = 0; k < sizeof things / sizeof *things; k++) {
        size_t n = strlen(things[k]), n_ids;
        for (size_t i = 0; i < N; i++) text[i] = things[k][i % n];
        lp_tokenizer *t = create_mini(k % 2 ? "llama-bpe" : "smollm", true);
        double before = seconds();
        int32_t *ids;
        assert_int_equal(lp_tokenizer_encode(t, text, N, true, false, &ids, &n_ids), LP_OK);
        if (seconds() - before > 5) fail_msg("a megabyte of \"%s\" took %.1f s", things[k], seconds() - before);
        if (k == 0) { /* the merges "a a" and "aa aa" leave nothing over */
            assert_int_equal(n_ids, N / 4);
            for (size_t i = 0; i < n_ids; i++) assert_int_equal(ids[i], 270);
        }
        free(ids);
        lp_tokenizer_free(t);
    }
    free(text);
}

static void a_megabyte_takes_no_time_with_patterns_one_after_another(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    static const char *const things[] = {"a", " ", "\n", "\x80", "1", "\xf0\x9f\x98\x80", "a ", " !", "\x07", "\xe4\xb8\x80 1", "Aa"};
    static const char *const pre[] = {"falcon", "deepseek-llm", "deepseek-coder", "deepseek-v3", "tekken", "gpt-4o"};
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t k = 0; k < sizeof things / sizeof *things; k++)
        for (size_t p = 0; p < sizeof pre / sizeof *pre; p++) {
            size_t n = strlen(things[k]), n_ids;
            for (size_t i = 0; i < N; i++) text[i] = things[k][i % n];
            text[N - 1] = 'z';
            lp_tokenizer *t = create_mini(pre[p], true);
            double before = seconds();
            int32_t *ids;
            assert_int_equal(lp_tokenizer_encode(t, text, N, true, false, &ids, &n_ids), LP_OK);
            if (seconds() - before > 5) fail_msg("%s: a megabyte of \"%s\" took %.1f s", pre[p], things[k], seconds() - before);
            free(ids);
            lp_tokenizer_free(t);
        }
    free(text);
}

static void a_word_that_is_a_token_is_not_merged_where_the_family_says_so(void **state)
{
    (void)state;
    mini_fill(&m, "llama-bpe", true);
    m.tokens[MINI_XYX] = (lp_string){"hellolo", 7}; /* no merge makes it */
    m.types[MINI_XYX] = LP_TOKEN_NORMAL;
    lp_tokenizer *t = create();
    EXPECT(t, "hellolo", true, MINI_XYX);
    EXPECT(t, "hellololo", true, 259, 266, 266);
    lp_tokenizer_free(t);
    m.source.pre = (lp_string){"dbrx", 4}; /* the same pattern without that rule */
    t = create();
    EXPECT(t, "hellolo", true, 259, 266);
    lp_tokenizer_free(t);
}

static void a_missing_pre_tokenizer_is_gpt_2(void **state)
{
    (void)state;
    static const char *const names[] = {"", "default", "phi-2", "jais"};
    lp_tokenizer *gpt2 = create_mini("gpt-2", false), *smollm = create_mini("smollm", false);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lp_tokenizer *t = create_mini(names[i], false);
        assert_true(lp_tokenizer_equal(t, gpt2));
        assert_false(lp_tokenizer_equal(t, smollm));
        lp_tokenizer_free(t);
    }
    lp_tokenizer_free(gpt2);
    lp_tokenizer_free(smollm);
}

static void of_equal_texts_the_lowest_id_counts_and_empty_ones_are_harmless(void **state)
{
    (void)state;
    mini_fill(&m, "gpt-2", true);
    m.tokens[MINI_XYX] = m.tokens[259]; /* "hello" again, now as user-defined text */
    m.tokens[MINI_XYXY] = m.tokens[MINI_YXY] = (lp_string){"", 0};
    m.types[MINI_XYX] = LP_TOKEN_NORMAL;
    lp_tokenizer *t = create();
    EXPECT(t, "hello", true, 259);
    EXPECT(t, "yxy", true, 'y', MINI_X, 'y');
    lp_tokenizer_free(t);
}

static void a_byte_without_a_token_is_the_unknown_token_or_an_error(void **state)
{
    (void)state;
    mini_fill(&m, "gpt-2", true);
    m.tokens[0xf4] = (lp_string){"unused", 6};
    lp_tokenizer *t = create();
    int32_t *ids;
    size_t n;
    assert_int_equal(lp_tokenizer_encode(t, "he\xf4\x8f\xbf\xbf", 6, true, false, &ids, &n), LP_INPUT);
    assert_non_null(strstr(lp_error(), "byte 0xf4 at 2"));
    assert_null(ids);
    EXPECT(t, "he", true, 256);
    lp_tokenizer_free(t);
    m.source.named[LP_NAMED_UNKNOWN] = MINI_UNKNOWN;
    t = create();
    EXPECT(t, "he\xf4\x8f\xbf\xbf", true, 256, MINI_UNKNOWN, 0x8f, 0xbf, 0xbf);
    lp_tokenizer_free(t);
}

static void bos_comes_first_where_the_file_or_its_family_asks_for_it(void **state)
{
    (void)state;
    static const struct {
        const char *pre;
        int32_t bos;
        int says;
        bool adds;
    } known[] = {{"gpt-2", 5, -1, false}, {"gpt-2", 5, 1, true}, {"llama-bpe", 5, -1, true}, {"llama-bpe", 5, 0, false}, {"llama-bpe", -1, -1, false}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        mini_fill(&m, known[i].pre, false);
        m.source.named[LP_NAMED_BOS] = known[i].bos;
        m.source.adds_bos = known[i].says;
        lp_tokenizer *t = create();
        int32_t *ids;
        size_t n;
        assert_int_equal(lp_tokenizer_adds_bos(t), known[i].adds);
        assert_int_equal(lp_tokenizer_bos(t), known[i].bos);
        assert_int_equal(lp_tokenizer_encode(t, "lo", 2, true, true, &ids, &n), LP_OK);
        assert_int_equal(n, known[i].adds ? 2 : 1);
        assert_int_equal(ids[0], known[i].adds ? 5 : 266);
        free(ids);
        EXPECT(t, "lo", true, 266); /* not without add_bos */
        lp_tokenizer_free(t);
    }
}

static void tokens_end_generation_by_id_and_by_text(void **state)
{
    (void)state;
    mini_fill(&m, "gpt-2", true);
    m.source.named[LP_NAMED_EOS] = 7;
    m.source.named[LP_NAMED_EOT] = 8;
    m.source.named[LP_NAMED_FIM_SEP] = 9;
    m.tokens[MINI_XYX] = (lp_string){"<|im_end|>", 10};
    m.types[MINI_XYX] = LP_TOKEN_NORMAL;
    lp_tokenizer *t = create();
    for (int32_t id = -1; id <= EXTENDED_TOKENS; id++)
        assert_int_equal(lp_tokenizer_ends_generation(t, id), id == 7 || id == 8 || id == 9 || id == MINI_XYX);
    assert_int_equal(lp_tokenizer_eos(t), 7);
    EXPECT(t, "<|im_end|>", true, MINI_XYX); /* control, though the file calls it normal */
    assert_int_equal(lp_tokenizer_bytes(t, MINI_XYX, false).n, 0);
    lp_tokenizer_free(t);
    m.tokens[MINI_YXY] = (lp_string){"<|end|>", 7};
    t = create();
    assert_true(lp_tokenizer_ends_generation(t, MINI_YXY));
    lp_tokenizer_free(t);
    m.tokens[MINI_XYXY] = (lp_string){"<|return|>", 10};
    m.tokens[MINI_X] = (lp_string){"<|call|>", 8};
    t = create();
    assert_false(lp_tokenizer_ends_generation(t, MINI_YXY)); /* ends a message, not the answer */
    assert_true(lp_tokenizer_ends_generation(t, MINI_XYXY));
    lp_tokenizer_free(t);
}

static void refuse(lp_status wanted, const char *words)
{
    lp_tokenizer *t = (lp_tokenizer *)1;
    assert_int_equal(lp_tokenizer_create_from(&m.source, &t), wanted);
    assert_null(t);
    if (!strstr(lp_error(), words)) fail_msg("\"%s\" does not say \"%s\"", lp_error(), words);
}

static void what_is_wrong_with_a_vocabulary_is_named(void **state)
{
    (void)state;
    mini_fill(&m, "gpt-2", false);
    m.source.model = (lp_string){"rwkv", 4};
    refuse(LP_UNSUPPORTED, "\"rwkv\" is not supported\nknown ones: gpt2");
    mini_fill(&m, "deepseek-v9", false);
    refuse(LP_UNSUPPORTED, "\"deepseek-v9\" is not known\nknown ones: gpt-2 ");
    assert_non_null(strstr(lp_error(), "qwen2"));
    mini_fill(&m, "gpt-2 phi-2", false); /* part of a row's list is no name */
    refuse(LP_UNSUPPORTED, "is not known");
    mini_fill(&m, "gpt-2", false);
    m.merges[3] = (lp_string){"hell zz", 7};
    refuse(LP_INPUT, "mini: tokenizer.ggml.merges[3] \"hell zz\": the right part is not a token");
    m.merges[3] = (lp_string){"zz o", 4};
    refuse(LP_INPUT, "merges[3] \"zz o\": the left part is not a token");
    m.merges[3] = (lp_string){"o h", 3};
    refuse(LP_INPUT, "merges[3] \"o h\": the two parts together are not a token");
    m.merges[3] = (lp_string){"hello", 5};
    refuse(LP_INPUT, "merges[3] \"hello\": no space");
    m.merges[3] = (lp_string){"", 0};
    refuse(LP_INPUT, "merges[3]");
    m.merges[3] = (lp_string){" ", 1};
    refuse(LP_INPUT, "merges[3]");
    mini_fill(&m, "gpt-2", false);
    m.types[17] = 7;
    refuse(LP_INPUT, "token_type[17]: 7");
    mini_fill(&m, "gpt-2", false);
    m.source.named[LP_NAMED_EOS] = MINI_TOKENS;
    refuse(LP_INPUT, "eos_token_id: 269");
    mini_fill(&m, "gpt-2", false);
    m.source.adds_bos = 1;
    refuse(LP_INPUT, "bos_token_id");
    mini_fill(&m, "gpt-2", false);
    m.source.n_tokens = 0;
    refuse(LP_INPUT, "no tokens");
}

static void tokenizers_are_equal_iff_they_give_the_same_ids(void **state)
{
    (void)state;
    lp_tokenizer *a = create_mini("gpt-2", false), *b = create_mini("gpt-2", false);
    assert_true(lp_tokenizer_equal(a, b));
    lp_tokenizer_free(b);
    m.tokens[200] = (lp_string){"other", 5};
    b = create();
    assert_false(lp_tokenizer_equal(a, b));
    lp_tokenizer_free(b);
    mini_fill(&m, "gpt-2", false);
    m.merges[9] = m.merges[10];
    m.merges[10] = (lp_string){mini_merges[9], strlen(mini_merges[9])};
    b = create();
    assert_false(lp_tokenizer_equal(a, b));
    lp_tokenizer_free(b);
    mini_fill(&m, "gpt-2", false);
    m.types[MINI_CONTROL] = LP_TOKEN_USER_DEFINED;
    b = create();
    assert_false(lp_tokenizer_equal(a, b));
    lp_tokenizer_free(b);
    b = create_mini("gpt-2", true);
    assert_false(lp_tokenizer_equal(a, b));
    lp_tokenizer_free(b);
    lp_tokenizer_free(a);
}

static void a_stream_holds_back_only_half_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80\x80\xc3(\xe4\xbdx\xed\xa0\x80\xf4\x90\xff\xf0\x9f";
    size_t n = sizeof text - 1;
    for (size_t piece = 1; piece <= n; piece++) {
        lp_utf8_stream stream = {0};
        char out[64];
        size_t n_out = 0;
        for (size_t at = 0; at < n; at += piece) {
            size_t k = piece < n - at ? piece : n - at;
            n_out += lp_utf8_stream_push(&stream, text + at, k, out + n_out);
            assert_true(stream.n_held <= 3 && n_out + (size_t)stream.n_held == at + k);
        }
        assert_int_equal(stream.n_held, 2); /* the last two may still become a character */
        n_out += lp_utf8_stream_push(&stream, NULL, 0, out + n_out);
        assert_int_equal(n_out, n);
        assert_memory_equal(out, text, n);
    }
    lp_utf8_stream stream = {0};
    char out[8];
    assert_int_equal(lp_utf8_stream_push(&stream, "\xf0\x9f\x98", 3, out), 0);
    assert_int_equal(lp_utf8_stream_push(&stream, "\x80", 1, out), 4);
    assert_int_equal(lp_utf8_stream_push(&stream, "\xe0\x80", 2, out), 2); /* overlong: will never be one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cards_vocabulary_gives_the_cards_ids),
        cmocka_unit_test(byte_characters_follow_the_card),
        cmocka_unit_test(tokens_give_their_bytes_and_control_tokens_only_when_asked),
        cmocka_unit_test(a_byte_that_is_not_utf8_becomes_one_replacement_character),
        cmocka_unit_test(user_defined_texts_match_in_any_text_and_the_longest_first),
        cmocka_unit_test(special_tokens_are_found_as_by_cutting_text_by_text),
        cmocka_unit_test(words_merge_as_by_trying_every_merge_in_order),
        cmocka_unit_test(valid_text_comes_back_from_its_ids),
        cmocka_unit_test(a_megabyte_of_one_thing_takes_no_time),
        cmocka_unit_test(a_megabyte_takes_no_time_with_patterns_one_after_another),
        cmocka_unit_test(a_word_that_is_a_token_is_not_merged_where_the_family_says_so),
        cmocka_unit_test(a_missing_pre_tokenizer_is_gpt_2),
        cmocka_unit_test(of_equal_texts_the_lowest_id_counts_and_empty_ones_are_harmless),
        cmocka_unit_test(a_byte_without_a_token_is_the_unknown_token_or_an_error),
        cmocka_unit_test(bos_comes_first_where_the_file_or_its_family_asks_for_it),
        cmocka_unit_test(tokens_end_generation_by_id_and_by_text),
        cmocka_unit_test(what_is_wrong_with_a_vocabulary_is_named),
        cmocka_unit_test(tokenizers_are_equal_iff_they_give_the_same_ids),
        cmocka_unit_test(a_stream_holds_back_only_half_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
