/* lowp run: the model continues a text. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct run_options {
    cli_common common;
    const char *prompt, *system, *chat_template;
    bool chat;
    int64_t n_tokens, n_context, n_chunk;
    int activations;
    double temperature, top_p, min_p, typical_p, repeat_penalty, frequency_penalty, presence_penalty;
    int64_t top_k, repeat_last_n;
} run_options;

enum { USUAL_CHUNK = 512 };

/* One continuation: what came out, and how fast. */
typedef struct generation {
    int32_t *tokens;
    int64_t n_tokens, n_prompt;
    char *text; /* n_text bytes; may end inside a character */
    size_t n_text, text_room;
    const char *finish; /* "stop", "length", "context" */
    double prefill_s, decode_s;
    int64_t n_decoded; /* forwards that decode_s counts */
} generation;

/* ---- one continuation -------------------------------------------------------------------------------------------- */

static void append_text(generation *g, lp_string s)
{
    if (g->n_text + s.n > g->text_room) {
        g->text_room = 2 * (g->n_text + s.n) + 256;
        g->text = cli_realloc(g->text, g->text_room);
    }
    if (s.n) memcpy(g->text + g->n_text, s.data, s.n);
    g->n_text += s.n;
}

/* Shows whole characters as they come; n = 0 flushes. A terminal gets no control characters of the model's making. */
static void stream(lp_utf8_stream *utf8, lp_string s, bool terminal)
{
    char *shown = cli_alloc(s.n + 8);
    size_t n = lp_utf8_stream_push(utf8, s.data, s.n, shown);
    if (terminal)
        cli_print_bytes(cli_out(), shown, n, true);
    else
        fwrite(shown, 1, n, cli_out());
    fflush(cli_out());
    free(shown);
}

/* Positions from `done` on; those before are in the cache. */
static lp_status prefill(lp_session *session, const int32_t *ids, int64_t done, int64_t n, int64_t n_chunk, const float **logits)
{
    int32_t *position = cli_alloc((size_t)n_chunk * sizeof *position);
    uint8_t *wants = cli_alloc((size_t)n_chunk);
    lp_status status = LP_OK;
    for (int64_t first = done; first < n && !status; first += n_chunk) {
        int64_t count = n - first < n_chunk ? n - first : n_chunk;
        for (int64_t i = 0; i < count; i++) {
            position[i] = (int32_t)(first + i);
            wants[i] = first + i == n - 1;
        }
        lp_batch batch = {.n_tokens = count, .token = ids + first, .position = position, .wants_logits = wants};
        status = lp_session_forward(session, &batch, logits);
        if (!status && (cli_interrupted() || cli_out_closed())) status = LP_INTERRUPTED;
    }
    free(position);
    free(wants);
    return status;
}

/* Draws tokens until one ends the text, n are there, or the context is full. */
static lp_status decode(lp_session *session, lp_sampler *sampler, const run_options *options, int64_t n_context,
                        const float *logits, bool show, generation *g)
{
    const lp_tokenizer *tokenizer = lp_model_tokenizer(lp_session_model(session));
    lp_utf8_stream utf8 = {0};
    bool terminal = isatty(STDOUT_FILENO);
    g->finish = "length";
    g->tokens = cli_alloc((size_t)options->n_tokens * sizeof *g->tokens);
    lp_status status = LP_OK;
    while (!status && g->n_tokens < options->n_tokens) {
        int32_t token;
        if ((status = lp_sampler_draw(sampler, logits, &token))) break;
        lp_sampler_accept(sampler, token);
        if (lp_tokenizer_ends_generation(tokenizer, token)) {
            g->finish = "stop";
            break;
        }
        g->tokens[g->n_tokens++] = token;
        lp_string bytes = lp_tokenizer_bytes(tokenizer, token, false);
        append_text(g, bytes);
        if (show && bytes.n) stream(&utf8, bytes, terminal);
        if (g->n_tokens == options->n_tokens) break;
        int32_t position = (int32_t)lp_session_length(session, 0);
        if (position >= n_context) {
            g->finish = "context";
            break;
        }
        double start = cli_now_s();
        status = lp_session_forward(session, &(lp_batch){.n_tokens = 1, .token = &token, .position = &position}, &logits);
        g->decode_s += cli_now_s() - start;
        g->n_decoded++;
        if (!status && (cli_interrupted() || cli_out_closed())) status = LP_INTERRUPTED;
    }
    if (show) {
        stream(&utf8, (lp_string){0}, terminal);
        fputc('\n', cli_out());
        fflush(cli_out());
    }
    return status;
}

static lp_status encode_prompt(const lp_tokenizer *tokenizer, const char *prompt, size_t n, int32_t **ids, size_t *n_ids)
{
    lp_status status = lp_tokenizer_encode(tokenizer, prompt, n, false, true, ids, n_ids);
    if (status || *n_ids) return status;
    /* an empty prompt begins a text */
    int32_t first = lp_tokenizer_bos(tokenizer) >= 0 ? lp_tokenizer_bos(tokenizer) : lp_tokenizer_eos(tokenizer);
    if (first < 0)
        return cli_fail(LP_USAGE, "begin the text: -p \"Once upon\"", "the prompt is empty, and the model has no token that begins a text");
    free(*ids);
    *ids = cli_alloc(sizeof **ids);
    **ids = first;
    *n_ids = 1;
    return LP_OK;
}

static void forget(generation *g)
{
    free(g->tokens);
    free(g->text);
    *g = (generation){0};
}

/* ---- chats ------------------------------------------------------------------------------------------------------- */

typedef struct conversation {
    lp_chat_message *message; /* contents are copies */
    size_t n;
} conversation;

static void add_message(conversation *chat, const char *role, const char *content, size_t n)
{
    chat->message = cli_realloc(chat->message, (chat->n + 1) * sizeof *chat->message);
    char *copy = cli_alloc(n + 1);
    if (n) memcpy(copy, content, n);
    chat->message[chat->n++] = (lp_chat_message){role, copy, n};
}

static void drop_message(conversation *chat) { free((char *)chat->message[--chat->n].content); }

static void begin_conversation(conversation *chat, const run_options *options)
{
    if (options->system) add_message(chat, "system", options->system, strlen(options->system));
}

static void end_conversation(conversation *chat)
{
    while (chat->n) drop_message(chat);
    free(chat->message);
}

static lp_status encode_conversation(const lp_tokenizer *tokenizer, const lp_template *chat_template, const conversation *chat,
                                     int32_t **ids, size_t *n_ids)
{
    lp_chat c = {.message = chat->message, .n_messages = chat->n, .add_generation_prompt = true, .now = (int64_t)time(NULL)};
    lp_status status = lp_chat_encode(tokenizer, chat_template, &c, ids, n_ids);
    return !status && !*n_ids ? cli_fail(LP_INPUT, NULL, "the chat template makes an empty text") : status;
}

static lp_status open_template(const lp_model *model, const run_options *options, lp_template **out)
{
    lp_string source = {NULL, 0};
    char *text = NULL;
    lp_status status = LP_OK;
    if (options->chat_template) {
        status = lp_text_read(options->chat_template, &text, &source.n);
        source.data = text;
    } else {
        status = lp_gguf_get_string(lp_model_gguf(model), "tokenizer.chat_template", false, &source);
        if (!status && !source.data)
            status = cli_fail(LP_UNSUPPORTED, "give one by --chat-template FILE, or leave out --chat: the model then continues the text",
                              "%s: tokenizer.chat_template: the file has no chat template", options->common.operand[0]);
    }
    if (!status) status = lp_template_parse(source.data, source.n, out);
    free(text);
    return status;
}

static lp_status create_sampler(const run_options *o, int32_t n_vocab, lp_sampler **sampler)
{
    lp_sampler_options s = lp_sampler_defaults();
    s.temperature = o->temperature;
    s.top_k = (int32_t)o->top_k;
    s.top_p = o->top_p;
    s.min_p = o->min_p;
    s.typical_p = o->typical_p;
    s.repeat_penalty = o->repeat_penalty;
    s.frequency_penalty = o->frequency_penalty;
    s.presence_penalty = o->presence_penalty;
    s.repeat_last_n = (int32_t)o->repeat_last_n;
    s.seed = (uint32_t)o->common.seed;
    return lp_sampler_create(&s, n_vocab, sampler);
}

static lp_status generate(lp_session *session, const run_options *options, const int32_t *ids, int64_t done, int64_t n_ids,
                          int64_t n_context, bool show, generation *g)
{
    lp_sampler *sampler;
    const float *logits = NULL;
    lp_status status = create_sampler(options, (int32_t)lp_model_get_info(lp_session_model(session))->n_vocab, &sampler);
    if (status) return status;
    for (int64_t i = 0; i < n_ids; i++) lp_sampler_accept(sampler, ids[i]);
    double start = cli_now_s();
    status = prefill(session, ids, done, n_ids, options->n_chunk, &logits);
    g->prefill_s = cli_now_s() - start;
    g->n_prompt = n_ids - done;
    if (!status) status = decode(session, sampler, options, n_context, logits, show, g);
    lp_sampler_free(sampler);
    return status;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

static double rate(int64_t n, double seconds) { return n > 0 && seconds > 0 ? (double)n / seconds : 0; }

static void print_settings(const run_options *o)
{
    if (o->temperature <= 0)
        cli_note(&o->common, "sampling: greedy (temperature 0)");
    else
        cli_note(&o->common, "sampling: temperature %g, top-k %lld, top-p %g, min-p %g, seed %lld", o->temperature,
                 (long long)o->top_k, o->top_p, o->min_p, (long long)o->common.seed);
}

static void print_speed(const run_options *o, const generation *g)
{
    double prefill_rate = rate(g->n_prompt, g->prefill_s), decode_rate = rate(g->n_decoded, g->decode_s);
    cli_note(&o->common, "tokens: %lld of the prompt (%.*f/s), %lld new (%.*f/s); ended by: %s", (long long)g->n_prompt,
             prefill_rate < 100, prefill_rate, (long long)g->n_tokens, decode_rate < 100, decode_rate, g->finish);
}

static void print_json(const run_options *o, const generation *g)
{
    cli_json json;
    cli_json_begin(&json, "run");
    cli_json_bytes(&json, "text", g->text ? g->text : "", g->n_text);
    cli_json_array(&json, "tokens");
    for (int64_t i = 0; i < g->n_tokens; i++) cli_json_integer(&json, NULL, g->tokens[i]);
    cli_json_close(&json);
    cli_json_text(&json, "finish", g->finish);
    cli_json_integer(&json, "n_prompt_tokens", g->n_prompt);
    cli_json_integer(&json, "seed", o->common.seed);
    if (g->prefill_s > 0)
        cli_json_real(&json, "prefill_tokens_per_second", rate(g->n_prompt, g->prefill_s));
    else
        cli_json_null(&json, "prefill_tokens_per_second");
    if (g->n_decoded && g->decode_s > 0)
        cli_json_real(&json, "decode_tokens_per_second", rate(g->n_decoded, g->decode_s));
    else
        cli_json_null(&json, "decode_tokens_per_second");
    cli_json_text(&json, "isa", lp_isa_name(lp_isa_current()));
    cli_json_end(&json);
}

/* ---- modes ------------------------------------------------------------------------------------------------------- */

static lp_status create_session(const lp_model *model, const run_options *options, int64_t n_context, lp_pool *pool,
                                lp_session **session)
{
    lp_session_options s = {.pool = pool, .n_context = n_context, .n_batch = options->n_chunk, .n_logits = 1,
                            .activations = cli_activation(options->activations)};
    cli_progress progress;
    cli_progress_begin(&progress, &options->common);
    lp_status status = lp_session_create(model, &s, &progress.progress, session);
    cli_progress_end(&progress);
    return status;
}

static lp_status report_dry_run(const lp_model *model, const run_options *options, int64_t n_context, int64_t n_ids)
{
    lp_session_options s = {.n_context = n_context, .n_batch = options->n_chunk, .n_logits = 1,
                            .activations = cli_activation(options->activations)};
    uint64_t n_bytes = lp_session_memory(model, &s);
    if (options->common.json) {
        cli_json json;
        cli_json_begin(&json, "run");
        cli_json_bool(&json, "dry_run", true);
        cli_json_integer(&json, "n_prompt_tokens", n_ids);
        cli_json_integer(&json, "n_context", n_context);
        cli_json_unsigned(&json, "memory_bytes", n_bytes);
        cli_json_end(&json);
    } else {
        fprintf(cli_out(), "would continue %s tokens by at most %s, in a context of %s, with %s of memory\n",
                cli_count(n_ids).text, cli_count(options->n_tokens).text, cli_count(n_context).text,
                cli_bytes(n_bytes).text);
    }
    return LP_OK;
}

static lp_status run_once(const lp_model *model, const run_options *options, const lp_template *chat_template, const char *prompt,
                          size_t n_prompt)
{
    int64_t n_longest = options->n_context ? options->n_context : lp_model_get_info(model)->n_context;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    lp_status status;
    if (chat_template) {
        conversation chat = {0};
        begin_conversation(&chat, options);
        add_message(&chat, "user", prompt, n_prompt);
        status = encode_conversation(lp_model_tokenizer(model), chat_template, &chat, &ids, &n_ids);
        end_conversation(&chat);
    } else {
        status = encode_prompt(lp_model_tokenizer(model), prompt, n_prompt, &ids, &n_ids);
    }
    if (status) return status;
    int64_t n = (int64_t)n_ids, n_context = n + options->n_tokens < n_longest ? n + options->n_tokens : n_longest;
    if (options->n_context) n_context = options->n_context;
    if (n > n_longest) {
        free(ids);
        return cli_fail(LP_USAGE, NULL, "the prompt has %lld tokens, more than the context of %lld", (long long)n,
                        (long long)n_longest);
    }
    if (options->common.dry_run) {
        free(ids);
        return report_dry_run(model, options, n_context, n);
    }
    lp_pool *pool;
    lp_session *session = NULL;
    generation g = {0};
    bool show = !options->common.json;
    if ((status = cli_pool(&options->common, &pool)) == LP_OK) {
        status = create_session(model, options, n_context, pool, &session);
        if (!status && show) print_settings(options);
        if (!status && show && !chat_template && n_prompt && isatty(STDOUT_FILENO)) {
            cli_print_bytes(cli_out(), prompt, n_prompt, true);
            fflush(cli_out());
        }
        if (!status) status = generate(session, options, ids, 0, n, n_context, show, &g);
        if (!status && show) print_speed(options, &g);
        if (!status && !show) print_json(options, &g);
        lp_session_close(session);
        lp_pool_destroy(pool);
    }
    free(ids);
    forget(&g);
    return status == LP_INTERRUPTED && !cli_interrupted() ? LP_OK : status; /* the reader closed the pipe */
}

/* A line from the terminal without its end; at most 0: the user is done. Ctrl-C at the prompt sets *status. */
static ssize_t ask(char **line, size_t *room, lp_status *status)
{
    fputs("> ", stderr);
    ssize_t n = getline(line, room, stdin);
    if (n < 0) fputc('\n', stderr);
    if (n < 0 && cli_interrupted()) *status = LP_INTERRUPTED;
    return n > 0 && (*line)[n - 1] == '\n' ? n - 1 : n;
}

/* A prompt on a terminal: every line is continued on its own. */
static lp_status run_interactive(const lp_model *model, const run_options *options)
{
    int64_t n_context = options->n_context ? options->n_context : lp_model_get_info(model)->n_context;
    lp_pool *pool;
    lp_session *session = NULL;
    lp_status status = cli_pool(&options->common, &pool);
    if (status) return status;
    status = create_session(model, options, n_context, pool, &session);
    if (!status) print_settings(options);
    if (!status) cli_note(&options->common, "Type the beginning of a text; the model goes on. Ctrl-C stops it, an empty line ends.");
    char *line = NULL;
    size_t room = 0;
    while (!status) {
        ssize_t n = ask(&line, &room, &status);
        if (n <= 0) break;
        int32_t *ids = NULL;
        size_t n_ids = 0;
        generation g = {0};
        status = encode_prompt(lp_model_tokenizer(model), line, (size_t)n, &ids, &n_ids);
        if (!status && (int64_t)n_ids > n_context) {
            fprintf(stderr, "that is longer than the context (%lld tokens)\n", (long long)n_context);
        } else if (!status) {
            cli_print_bytes(cli_out(), line, (size_t)n, true);
            status = generate(session, options, ids, 0, (int64_t)n_ids, n_context, true, &g);
            if (!status && options->common.verbose) print_speed(options, &g);
            if (status == LP_INTERRUPTED && cli_interrupted()) {
                status = LP_OK; /* Ctrl-C while it writes stops the text only */
                cli_forget_interrupt();
            }
            if (!status) status = lp_session_truncate(session, 0, 0);
        }
        free(ids);
        forget(&g);
    }
    free(line);
    lp_session_close(session);
    lp_pool_destroy(pool);
    return status;
}

/* A conversation on a terminal. What the cache holds of it already is not computed again. */
static lp_status run_chat(const lp_model *model, const run_options *options, const lp_template *chat_template)
{
    int64_t n_context = options->n_context ? options->n_context : lp_model_get_info(model)->n_context;
    lp_pool *pool;
    lp_session *session = NULL;
    lp_status status = cli_pool(&options->common, &pool);
    if (status) return status;
    status = create_session(model, options, n_context, pool, &session);
    if (!status) print_settings(options);
    if (!status) cli_note(&options->common, "Type a message. Ctrl-C stops an answer, an empty line ends.");
    conversation chat = {0};
    begin_conversation(&chat, options);
    int32_t *cached = NULL;
    char *line = NULL;
    size_t room = 0;
    while (!status) {
        ssize_t n = ask(&line, &room, &status);
        if (n <= 0) break;
        int32_t *ids = NULL;
        size_t n_ids = 0;
        generation g = {0};
        add_message(&chat, "user", line, (size_t)n);
        status = encode_conversation(lp_model_tokenizer(model), chat_template, &chat, &ids, &n_ids);
        if (!status && (int64_t)n_ids > n_context) {
            fprintf(stderr, "the conversation is longer than the context (%lld tokens)\n", (long long)n_context);
            drop_message(&chat);
        } else if (!status) {
            int64_t length = lp_session_length(session, 0), done = 0;
            while (done < length && done < (int64_t)n_ids - 1 && cached[done] == ids[done]) done++;
            if (done < length) status = lp_session_truncate(session, 0, done);
            if (!status) status = generate(session, options, ids, done, (int64_t)n_ids, n_context, true, &g);
            if (!status && options->common.verbose) print_speed(options, &g);
            if (status == LP_INTERRUPTED && cli_interrupted()) {
                status = LP_OK; /* Ctrl-C while it writes stops the answer only */
                cli_forget_interrupt();
            }
            add_message(&chat, "assistant", g.text, g.n_text);
            cached = cli_realloc(cached, (n_ids + (size_t)g.n_tokens) * sizeof *cached);
            memcpy(cached, ids, n_ids * sizeof *cached);
            if (g.n_tokens) memcpy(cached + n_ids, g.tokens, (size_t)g.n_tokens * sizeof *cached);
        }
        free(ids);
        forget(&g);
    }
    free(cached);
    free(line);
    end_conversation(&chat);
    lp_session_close(session);
    lp_pool_destroy(pool);
    return status;
}

static lp_status run(const void *argument)
{
    const run_options *options = argument;
    lp_model *model;
    lp_status status = lp_model_open(options->common.operand[0], &model);
    if (status) return status;
    int64_t longest = lp_model_get_info(model)->n_context;
    char *text = NULL;
    size_t n = 0;
    lp_template *chat_template = NULL;
    bool chat = options->chat || options->chat_template;
    if (options->n_context > longest)
        status = cli_fail(LP_USAGE, NULL, "--context: %lld is more than the model's %lld", (long long)options->n_context,
                          (long long)longest);
    else if (options->system && !chat)
        status = cli_fail(LP_USAGE, NULL, "--system has a meaning with --chat only");
    else if (chat && (status = open_template(model, options, &chat_template)) != LP_OK)
        ;
    else if (options->prompt)
        status = run_once(model, options, chat_template, options->prompt, strlen(options->prompt));
    else if (isatty(STDIN_FILENO) && !options->common.json && !options->common.dry_run)
        status = chat ? run_chat(model, options, chat_template) : run_interactive(model, options);
    else if ((status = lp_text_read("-", &text, &n)) == LP_OK)
        status = run_once(model, options, chat_template, text, n);
    lp_template_free(chat_template);
    free(text);
    lp_model_close(model);
    return status;
}

/* ---- the verb ---------------------------------------------------------------------------------------------------- */

static const cli_option options_table[] = {
    {"prompt", 'p', CLI_TEXT, offsetof(run_options, prompt), "TEXT", 0, 0, NULL,
     "the beginning of the text; without it: from stdin, or line by line on a terminal"},
    {"chat", 0, CLI_FLAG, offsetof(run_options, chat), NULL, 0, 0, NULL,
     "the prompt is a message to the model, in the form that its chat template gives; on a terminal: a conversation"},
    {"system", 0, CLI_TEXT, offsetof(run_options, system), "TEXT", 0, 0, NULL, "with --chat: the system message"},
    {"chat-template", 0, CLI_TEXT, offsetof(run_options, chat_template), "FILE", 0, 0, NULL,
     "with --chat, which it implies: the template, instead of the model's own"},
    {"tokens", 'n', CLI_INTEGER, offsetof(run_options, n_tokens), "N", 0, 2147483647, NULL,
     "generate at most N tokens; default 128"},
    {"temperature", 0, CLI_REAL, offsetof(run_options, temperature), "T", 0, 1000, NULL,
     "0 takes the likeliest token every time, more is more varied; default 0.8"},
    {"top-k", 0, CLI_INTEGER, offsetof(run_options, top_k), "N", 0, 2147483647, NULL,
     "draw among the N likeliest only; 0: off; default 40"},
    {"top-p", 0, CLI_REAL, offsetof(run_options, top_p), "P", 0, 1, NULL,
     "draw among the likeliest that together reach P; 1: off; default 0.95"},
    {"min-p", 0, CLI_REAL, offsetof(run_options, min_p), "P", 0, 1, NULL,
     "drop what is less likely than P times the likeliest; 0: off; default 0.05"},
    {"typical-p", 0, CLI_REAL, offsetof(run_options, typical_p), "P", 0, 1, NULL,
     "draw among tokens of typical surprise that together reach P; 1: off (default)"},
    {"repeat-penalty", 0, CLI_REAL, offsetof(run_options, repeat_penalty), "R", 0.000001, 1000, NULL,
     "make recent tokens less likely; 1: off (default)"},
    {"repeat-last-n", 0, CLI_INTEGER, offsetof(run_options, repeat_last_n), "N", -1, 2147483647, NULL,
     "how many tokens count as recent; 0: none, -1: all; default 64"},
    {"frequency-penalty", 0, CLI_REAL, offsetof(run_options, frequency_penalty), "R", -1000, 1000, NULL,
     "taken off a recent token's logit for each time it occurred; default 0"},
    {"presence-penalty", 0, CLI_REAL, offsetof(run_options, presence_penalty), "R", -1000, 1000, NULL,
     "taken off a recent token's logit once; default 0"},
    {"context", 0, CLI_INTEGER, offsetof(run_options, n_context), "N", 1, 2147483647, NULL,
     "longest text, prompt included; default: what is needed, up to the model's"},
    {"chunk", 0, CLI_INTEGER, offsetof(run_options, n_chunk), "N", 1, 1048576, NULL,
     "tokens of the prompt that are computed together; default 512"},
    {"activations", 0, CLI_CHOICE, offsetof(run_options, activations), NULL, 0, 0, cli_activation_names,
     "default: i8 for quantized weights, f32 for float ones"},
    {0},
};

static const run_options defaults = {.n_tokens = 128, .n_chunk = USUAL_CHUNK, .activations = -1, .temperature = 0.8,
                                     .top_k = 40, .top_p = 0.95, .min_p = 0.05, .typical_p = 1, .repeat_penalty = 1,
                                     .repeat_last_n = 64};

const cli_verb cli_run = {
    .name = "run",
    .usage = "MODEL [-p PROMPT] [-n TOKENS] [options]",
    .summary = "let the model continue a text",
    .details = "Prints the continuation as it is made. The same options and seed give the same text, whatever the "
               "threads and the instruction set; --temperature 0 does not draw at all.",
    .examples = "lowp run embedded -p 'It was a dark and' -n 40\n"
                "lowp run embedded -p 'The captain' -n 16 --temperature 0 --json\n"
                "echo 'The old house' | lowp run embedded -n 20 --seed 7\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .long_running = true,
    .run = run,
};
