/* verify TRUST-ANCHOR TOKEN [REFERENCE-VALUES [POLICY]]: prints the result, ends with its status. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cca_token.h"

/* The content of a file; its length goes to `length`. */
static uint8_t *content(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t capacity = 0;

    *length = 0;
    if (file == NULL) {
        perror(path);
        exit(CCA_TOKEN_UNUSABLE);
    }
    do {
        capacity += 65536;
        bytes = realloc(bytes, capacity);
        if (bytes == NULL) {
            exit(CCA_TOKEN_UNUSABLE);
        }
        *length += fread(bytes + *length, 1, capacity - *length, file);
    } while (*length == capacity);
    fclose(file);
    return bytes;
}

/* Ends with what is wrong unless all is well. */
static void check(enum cca_token_status status, char *error)
{
    if (status != CCA_TOKEN_ACCEPTED) {
        fprintf(stderr, "%s\n", error);
        cca_token_free(error);
        exit(status);
    }
}

int main(int count, char **arguments)
{
    struct cca_token_verifier *verifier;
    enum cca_token_status status;
    uint8_t *bytes;
    size_t length;
    char *text = NULL;

    if (count < 3) {
        fprintf(stderr, "usage: verify TRUST-ANCHOR TOKEN [REFERENCE-VALUES [POLICY]]\n");
        return CCA_TOKEN_UNUSABLE;
    }
    bytes = content(arguments[1], &length);
    verifier = cca_token_verifier_new(bytes, length, &text);
    free(bytes);
    if (verifier == NULL) {
        check(CCA_TOKEN_UNUSABLE, text);
    }
    if (count > 3) {
        bytes = content(arguments[3], &length);
        status = cca_token_verifier_add_reference_values(verifier, bytes, length,
                                                         (int64_t)time(NULL), &text);
        free(bytes);
        check(status, text);
    }
    if (count > 4) {
        bytes = content(arguments[4], &length);
        status = cca_token_verifier_set_policy(verifier, bytes, length, &text);
        free(bytes);
        check(status, text);
    }
    bytes = content(arguments[2], &length);
    status = cca_token_verify(verifier, bytes, length, NULL, &text);
    free(bytes);
    puts(text);
    cca_token_free(text);
    cca_token_verifier_free(verifier);
    return status;
}
