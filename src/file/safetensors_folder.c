/* A folder of safetensors: model.safetensors, or shards with model.safetensors.index.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "file/safetensors.h"

enum { MAX_SHARDS = 512 };

static char *join(const char *folder, const char *name, size_t n)
{
    size_t n_folder = strlen(folder);
    while (n_folder > 1 && folder[n_folder - 1] == '/') n_folder--;
    char *path = malloc(n_folder + n + 2);
    if (!path) return NULL;
    memcpy(path, folder, n_folder);
    path[n_folder] = '/';
    memcpy(path + n_folder + 1, name, n);
    path[n_folder + 1 + n] = '\0';
    return path;
}

/* Opens a shard and adds its tensors under their names. */
static lp_status add_file(lp_safetensors_folder *folder, const char *path)
{
    if (folder->n_files == MAX_SHARDS) return lp_fail(LP_UNSUPPORTED, "%s: more than %d shards", path, MAX_SHARDS);
    lp_safetensors **files = realloc(folder->file, (folder->n_files + 1) * sizeof *files);
    if (!files) return lp_fail_memory(sizeof *files, "a shard");
    folder->file = files;
    lp_safetensors *file;
    LP_TRY(lp_safetensors_open(path, &file));
    folder->file[folder->n_files++] = file;
    size_t n = (size_t)folder->names.n + file->n + 1;
    const lp_safetensor **tensors = realloc(folder->tensor, n * sizeof *tensors);
    if (!tensors) return lp_fail_memory(n * sizeof *tensors, "the tensors of a folder");
    folder->tensor = tensors;
    for (uint32_t i = 0; i < file->n; i++) {
        uint32_t index;
        bool is_new;
        char item[LP_PRINTABLE];
        LP_TRY(lp_names_add(&folder->names, file->tensor[i].name, &index, &is_new));
        if (!is_new)
            return lp_fail(LP_INPUT, "%s: %s: the tensor is in another shard too", path,
                           lp_name_printable(file->tensor[i].name, item));
        folder->tensor[index] = &file->tensor[i];
    }
    return LP_OK;
}

/* A shard's name must be a plain file name: an index must not reach outside its folder. */
static bool is_plain_name(lp_string name)
{
    return name.n > 0 && name.n < 256 && name.data[0] != '.' && !memchr(name.data, '/', name.n) && !memchr(name.data, 0, name.n);
}

static lp_status open_shards(const char *path, const char *index_path, const lp_json *map, lp_names *shards,
                             lp_safetensors_folder *out)
{
    const lp_json *at = map + 1;
    for (uint32_t i = 0; i < map->n; i++, at += 1 + at[1].span) {
        char item[LP_PRINTABLE];
        uint32_t shard;
        bool is_new;
        lp_name_printable(lp_json_string(at), item);
        if (at[1].kind != LP_JSON_STRING || !is_plain_name(lp_json_string(at + 1)))
            return lp_fail(LP_INPUT, "%s: %s: its shard is no plain file name", index_path, item);
        LP_TRY(lp_names_add(shards, lp_json_string(at + 1), &shard, &is_new));
        if (!is_new) continue;
        char *shard_path = join(path, at[1].text, at[1].n);
        lp_status status = shard_path ? add_file(out, shard_path) : lp_fail_memory(at[1].n, "a path");
        free(shard_path);
        LP_TRY(status);
    }
    return LP_OK;
}

/* Each tensor is where the index says, and no shard has others. */
static lp_status check_index(const char *index_path, const lp_json *map, const lp_names *shards, const lp_safetensors_folder *f)
{
    const lp_json *at = map + 1;
    char item[LP_PRINTABLE];
    for (uint32_t i = 0; i < map->n; i++, at += 1 + at[1].span) {
        const lp_safetensors *file = f->file[lp_names_find(shards, lp_json_string(at + 1))];
        if (lp_names_find(&file->names, lp_json_string(at)) < 0)
            return lp_fail(LP_INPUT, "%s: %s: the tensor is not in %s", index_path, lp_name_printable(lp_json_string(at), item),
                           file->path);
    }
    if (map->n == f->names.n) return LP_OK;
    return lp_fail(LP_INPUT, "%s: names %u tensors, but its shards have %u", index_path, map->n, f->names.n);
}

static lp_status open_index(const char *path, const char *index_path, lp_safetensors_folder *out)
{
    static const lp_json_limits limits = {64 << 20, 4 << 20, 8};
    lp_map map;
    lp_json_document json;
    lp_names shards = {0};
    LP_TRY(lp_map_open(index_path, &map));
    lp_status status = lp_json_parse(index_path, (const char *)map.data, map.n_bytes, &limits, &json);
    if (status == LP_OK) {
        const lp_json *weights = lp_json_find(json.node, "weight_map");
        if (!weights || weights->kind != LP_JSON_OBJECT) status = lp_fail(LP_INPUT, "%s: weight_map: missing or no object", index_path);
        if (status == LP_OK) status = open_shards(path, index_path, weights, &shards, out);
        if (status == LP_OK) status = check_index(index_path, weights, &shards, out);
    }
    lp_names_free(&shards);
    lp_json_free(&json);
    lp_map_close(&map);
    return status;
}

lp_status lp_safetensors_folder_open(const char *path, lp_safetensors_folder *out)
{
    static const char index_name[] = "model.safetensors.index.json", single_name[] = "model.safetensors";
    *out = (lp_safetensors_folder){0};
    char *index = join(path, index_name, strlen(index_name)), *single = join(path, single_name, strlen(single_name));
    lp_status status;
    if (!index || !single) status = lp_fail_memory(strlen(path), "a path");
    else if (access(single, F_OK) == 0) status = add_file(out, single);
    else if (access(index, F_OK) == 0) status = open_index(path, index, out);
    else status = lp_fail(LP_INPUT, "%s: neither %s nor %s is in this folder", path, single_name, index_name);
    free(index);
    free(single);
    if (status != LP_OK) lp_safetensors_folder_close(out);
    return status;
}

void lp_safetensors_folder_close(lp_safetensors_folder *folder)
{
    lp_names_free(&folder->names);
    for (uint32_t i = 0; i < folder->n_files; i++) lp_safetensors_close(folder->file[i]);
    free(folder->file);
    free(folder->tensor);
    *folder = (lp_safetensors_folder){0};
}

const lp_safetensor *lp_safetensors_folder_find(const lp_safetensors_folder *folder, const char *name)
{
    int64_t index = lp_names_find(&folder->names, (lp_string){name, strlen(name)});
    return index < 0 ? NULL : folder->tensor[index];
}
