/* A JSON writer: always valid UTF-8, never NaN or Infinity. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t cli_utf8_length(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90); /* surrogates; above U+10FFFF */
    return overlong || beyond ? 0 : length;
}

static void print_string(FILE *file, const char *bytes, size_t n)
{
    const unsigned char *s = (const unsigned char *)bytes;
    fputc('"', file);
    for (size_t i = 0; i < n;) {
        size_t length = cli_utf8_length(s + i, n - i);
        if (length == 0) {
            fputs("\\ufffd", file);
            length = 1;
        } else if (s[i] == '"' || s[i] == '\\') {
            fprintf(file, "\\%c", s[i]);
        } else if (s[i] == '\n') {
            fputs("\\n", file);
        } else if (s[i] < 0x20 || s[i] == 0x7f) {
            fprintf(file, "\\u%04x", s[i]);
        } else {
            fwrite(s + i, 1, length, file);
        }
        i += length;
    }
    fputc('"', file);
}

/* Comma, line break and name before a value. Members of the outer object and rows of its arrays get lines of their
 * own. */
static void lead(cli_json *json, const char *name, bool scalar)
{
    int top = json->depth - 1;
    if (top >= 0) {
        bool own_line = top == 0 || (top == 1 && json->level[1].array && !scalar);
        if (!json->level[top].empty) fputs(own_line ? "," : ", ", json->file);
        if (own_line) fprintf(json->file, "\n%*s", 2 * json->depth, "");
        json->level[top].empty = false;
        json->level[top].scalars = scalar;
    }
    if (name) {
        print_string(json->file, name, strlen(name));
        fputs(": ", json->file);
    }
}

static void open_level(cli_json *json, const char *name, bool array)
{
    lead(json, name, false);
    fputc(array ? '[' : '{', json->file);
    json->level[json->depth].array = array;
    json->level[json->depth].empty = true;
    json->level[json->depth].scalars = true;
    json->depth++;
}

void cli_json_object(cli_json *json, const char *name) { open_level(json, name, false); }
void cli_json_array(cli_json *json, const char *name) { open_level(json, name, true); }

void cli_json_close(cli_json *json)
{
    int top = --json->depth;
    if (top == 0 || (top == 1 && json->level[1].array && !json->level[1].scalars))
        fprintf(json->file, "\n%*s", 2 * top, "");
    fputc(json->level[top].array ? ']' : '}', json->file);
}

void cli_json_begin(cli_json *json, const char *verb)
{
    *json = (cli_json){.file = cli_out()};
    open_level(json, NULL, false);
    char schema[64];
    snprintf(schema, sizeof schema, "lowp.%s/1", verb);
    cli_json_text(json, "schema", schema);
}

void cli_json_end(cli_json *json)
{
    cli_json_close(json);
    fputc('\n', json->file);
}

void cli_json_bytes(cli_json *json, const char *name, const char *bytes, size_t n)
{
    lead(json, name, true);
    print_string(json->file, bytes, n);
}

void cli_json_text(cli_json *json, const char *name, const char *text)
{
    if (!text)
        cli_json_null(json, name);
    else
        cli_json_bytes(json, name, text, strlen(text));
}

void cli_json_integer(cli_json *json, const char *name, int64_t value)
{
    lead(json, name, true);
    fprintf(json->file, "%lld", (long long)value);
}

void cli_json_unsigned(cli_json *json, const char *name, uint64_t value)
{
    lead(json, name, true);
    fprintf(json->file, "%llu", (unsigned long long)value);
}

void cli_json_real(cli_json *json, const char *name, double value)
{
    if (!isfinite(value)) {
        cli_json_null(json, name);
        return;
    }
    lead(json, name, true);
    char text[40];
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back as the same number */
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, json->file);
}

void cli_json_bool(cli_json *json, const char *name, bool value)
{
    lead(json, name, true);
    fputs(value ? "true" : "false", json->file);
}

void cli_json_null(cli_json *json, const char *name)
{
    lead(json, name, true);
    fputs("null", json->file);
}
