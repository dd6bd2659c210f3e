/* Attestation tokens of Arm CCA: decoding and verifying, from C.
 *
 * Every function can be called with anything but pointers that are not what they should be. Text
 * that a function hands out is UTF-8, ends in a zero, and is the caller's: cca_token_free(). A
 * verifier may be used by several threads at once, as long as nobody changes it meanwhile.
 *
 * Link with libcca_token.a and -lpthread -ldl -lm.
 */
#ifndef CCA_TOKEN_H
#define CCA_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What came out. */
enum cca_token_status {
    /* Accepted, or simply done. */
    CCA_TOKEN_ACCEPTED = 0,
    /* The token is not accepted, or cannot be taken apart. */
    CCA_TOKEN_REJECTED = 1,
    /* Something that was given cannot be used. */
    CCA_TOKEN_UNUSABLE = 2
};

/* Bytes of a challenge. */
#define CCA_TOKEN_CHALLENGE_BYTES 64

/* Trust anchors, reference values and a policy, prepared once for any number of tokens. */
struct cca_token_verifier;

/* What a token says, as JSON, without believing it. On CCA_TOKEN_REJECTED, `*text` is why it
 * cannot be taken apart. `text` may be NULL. */
enum cca_token_status cca_token_decode(const uint8_t *token, size_t length, char **text);

/* A verifier that believes the machines whose keys are given: JSON Web Key (or set, or list with
 * identities), PEM, COSE_Key. NULL if there is no usable key; then `*error` is why. `error` may
 * be NULL. */
struct cca_token_verifier *cca_token_verifier_new(const uint8_t *trust_anchors, size_t length,
                                                  char **error);

/* Adds reference values: TOML, JSON, or CoRIM that is not signed. `now` is the time at which a
 * CoRIM has to be valid, in seconds since 1970. `error` may be NULL. */
enum cca_token_status cca_token_verifier_add_reference_values(struct cca_token_verifier *verifier,
                                                              const uint8_t *values, size_t length,
                                                              int64_t now, char **error);

/* Sets the policy: TOML or JSON. `error` may be NULL. */
enum cca_token_status cca_token_verifier_set_policy(struct cca_token_verifier *verifier,
                                                    const uint8_t *policy, size_t length,
                                                    char **error);

/* Verifies and appraises a token. `challenge` is CCA_TOKEN_CHALLENGE_BYTES that the Realm was
 * asked to put in, or NULL; without it, nobody knows how old the token is. `*json` is the result
 * with every check, also of a token that is rejected. `json` may be NULL. */
enum cca_token_status cca_token_verify(const struct cca_token_verifier *verifier,
                                       const uint8_t *token, size_t length,
                                       const uint8_t *challenge, char **json);

/* Gives a verifier back. NULL is allowed. */
void cca_token_verifier_free(struct cca_token_verifier *verifier);

/* Gives text back. NULL is allowed. */
void cca_token_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
