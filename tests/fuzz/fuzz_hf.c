/* Fuzzes the JSON files of Hugging Face folders: the first byte tells which file the rest is (c: config.json). What is read makes
 * a GGUF header that opens, and a tokenizer that works or is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/tokenizer.h>

#include "file/gguf.h"
#include "model/hf/hf.h"
#include "text_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

static const lp_json_limits limits = {1 << 20, 1 << 16, 32};

/* A file of a folder that does not exist; false if the text is no object. */
static bool open_text(const char *name, const char *text, size_t n, lp_hf_file *out)
{
    char *path = strdup(name);
    *out = (lp_hf_file){.path = path, .map.slot = -1};
    require(path != NULL, "memory");
    if (lp_json_parse(path, text, n, &limits, &out->json) == LP_OK && out->json.node->kind == LP_JSON_OBJECT) return true;
    lp_hf_file_close(out);
    return false;
}

static void check_header(lp_gguf_writer *writer)
{
    uint8_t *header;
    size_t n;
    lp_gguf *g;
    lp_tokenizer *t;
    require(lp_gguf_writer_header(writer, &header, &n) == LP_OK, "a header");
    require(lp_gguf_open_memory(header, n, "made", &g) == LP_OK, "a header that was made does not open");
    if (lp_gguf_find(g, "tokenizer.ggml.model")) {
        lp_status status = lp_tokenizer_create(g, &t);
        require(status == LP_OK || status == LP_INPUT || status == LP_UNSUPPORTED, "how a tokenizer was refused");
        if (status == LP_OK) {
            static const char text[] = "the <s> caf\xc3\xa9 12\n\xff";
            int32_t *ids;
            size_t n_ids;
            if (lp_tokenizer_encode(t, text, sizeof text - 1, true, true, &ids, &n_ids) == LP_OK)
                for (size_t i = 0; i < n_ids; i++) require(ids[i] >= 0 && ids[i] < lp_tokenizer_size(t), "an id outside");
            free(ids);
            lp_tokenizer_free(t);
        }
    }
    lp_gguf_close(g);
    free(header);
}

static void refused_well(lp_status status)
{
    require(status == LP_INPUT || status == LP_UNSUPPORTED, "how it was refused");
    require(strstr(lp_error(), ".json") != NULL, "a refusal without the file");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char tokenizer_config[] = "{\"add_bos_token\": true, \"bos_token\": \"<s>\", \"chat_template\": \"{{ 1 }}\"}";
    static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"bos_token_id\": 0, \"eos_token_id\": [1, 2]}";
    lp_hf_file file, other[2];
    lp_gguf_writer *writer;
    lp_arena arena = {0};
    if (n < 1 || n > 1 << 16) return 0;
    bool is_config = data[0] == 'c';
    if (!open_text(is_config ? "config.json" : "tokenizer.json", (const char *)data + 1, n - 1, &file)) return 0;
    require(lp_gguf_writer_create_dry(&writer) == LP_OK, "a writer");
    lp_status status;
    if (is_config) {
        const lp_hf_architecture *architecture;
        lp_hf_shape shape = {0};
        status = lp_hf_find_architecture(file.path, file.json.node, &architecture);
        if (status == LP_OK) status = lp_hf_read_config(&file, architecture, writer, &arena, &shape);
    } else {
        char warning[200] = "";
        require(open_text("tokenizer_config.json", tokenizer_config, sizeof tokenizer_config - 1, &other[0]), "a constant");
        require(open_text("config.json", config, sizeof config - 1, &other[1]), "a constant");
        status = lp_hf_read_tokenizer(&file, &other[0], &other[1], 300, writer, &arena, warning, sizeof warning);
        lp_hf_file_close(&other[0]);
        lp_hf_file_close(&other[1]);
    }
    if (status == LP_OK) check_header(writer);
    else refused_well(status);
    lp_gguf_writer_abort(writer);
    lp_hf_file_close(&file);
    lp_arena_free(&arena);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    static const char *const fragments[] = {
        "{}", "[]", "null", "true", "false", "0", "1", "-1", "1.5", "299", "300", "1e10", "\"\"", "\"a\"", "\"<s>\"", "\"\\u0120the\"", "[\"a\",\"b\"]", "\"a b\"",
        ",\"x\":1", "\"model\":", "\"vocab\":", "\"merges\":", "\"type\":", "\"BPE\"", "\"Unigram\"", "\"WordPiece\"", "\"ByteLevel\"", "\"Sequence\"", "\"Metaspace\"",
        "\"Split\"", "\"Digits\"", "\"NFC\"", "\"Replace\"", "\"Prepend\"", "\"BertNormalizer\"", "\"BertPreTokenizer\"", "\"TemplateProcessing\"", "\"ByteFallback\"",
        "\"added_tokens\":", "\"id\":", "\"content\":", "\"special\":", "\"normalizer\":", "\"pre_tokenizer\":", "\"post_processor\":", "\"decoder\":", "\"pretokenizers\":",
        "\"unk_id\":", "\"byte_fallback\":", "\"unk_token\":", "\"continuing_subword_prefix\":", "\"Regex\":", "\"String\":", "\"individual_digits\":", "\"use_regex\":",
        "\"add_prefix_space\":", "\"ignore_merges\":", "\"precompiled_charsmap\":", "\"AAAAAA==\"", "[\"a\",-1.5]",
        "\"architectures\":", "\"LlamaForCausalLM\"", "\"Qwen2ForCausalLM\"", "\"Gemma2ForCausalLM\"", "\"MixtralForCausalLM\"", "\"Phi3ForCausalLM\"", "\"hidden_size\":",
        "\"num_hidden_layers\":", "\"num_attention_heads\":", "\"num_key_value_heads\":", "\"intermediate_size\":", "\"vocab_size\":", "\"rms_norm_eps\":", "\"rope_theta\":",
        "\"rope_scaling\":", "\"factor\":", "\"llama3\"", "\"yarn\"", "\"longrope\"", "\"short_factor\":", "\"long_factor\":", "\"max_position_embeddings\":", "\"sliding_window\":",
        "\"layer_types\":", "\"num_local_experts\":", "\"head_dim\":", "\"tie_word_embeddings\":"};
    static const text_grammar grammar = {fragments, sizeof fragments / sizeof *fragments, "{[", "}]", "{}[],:\" \n"};
    if (n < 2 || room < 2) {
        if (room > 2) memcpy(data, "c{", 2), n = 2;
        return n;
    }
    if (seed % 64 == 0) data[0] = data[0] == 'c' ? 't' : 'c';
    return 1 + text_mutate(&grammar, data + 1, n - 1, room - 1, seed);
}
