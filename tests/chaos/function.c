/* The function of the chaos tests: says on stderr when a call begins and when it ends, and takes the time that its body
   asks for, in milliseconds; "800/50" is 800 for the first attempt and 50 for every later one. In format default it
   serves one call and exits; in format json, json_framing line, one call after the other.

   stderr is read by the worker, as the call's log, and by a witness of the tests that is attached beside it: what it says
   is known also of a call whose worker died. The answer names the attempt that gave it. It parses just enough: a quote
   inside a JSON string is escaped, so the first occurrence of a key with bare quotes is the key. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_BYTES (1 << 16)

static char line[MAX_BYTES];

/* One write, so that a line is never torn. */
static void say(const char *what, const char *call_id, const char *attempt) {
    char text[128];
    int length = snprintf(text, sizeof text, "%s %s %s\n", what, call_id, attempt);
    if (write(STDERR_FILENO, text, (size_t)length) != length)
        exit(1);
}

static void run(const char *call_id, const char *attempt, const char *asked) {
    const char *later = strchr(asked, '/');
    int ms = atoi(later != NULL && atoi(attempt) > 1 ? later + 1 : asked);
    struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
    say("begin", call_id, attempt);
    while (nanosleep(&left, &left) != 0)
        ;
    say("end", call_id, attempt);
}

/* Copy the string that follows *key* to *value*; 0 if there is none. */
static int find(const char *key, char *value, size_t room) {
    const char *at = strstr(line, key), *end;
    if (at == NULL)
        return 0;
    at += strlen(key);
    end = strchr(at, '"');
    if (end == NULL || (size_t)(end - at) >= room)
        return 0;
    memcpy(value, at, (size_t)(end - at));
    value[end - at] = '\0';
    return 1;
}

static int serve(void) {
    char call_id[64], attempt[16], asked[32];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (!find("\"call_id\":\"", call_id, sizeof call_id) || !find("\"Fn_attempt\":[\"", attempt, sizeof attempt) ||
            !find("\"body\":\"", asked, sizeof asked))
            return 1;
        run(call_id, attempt, asked);
        printf("{\"body\":\"%s %s\"}\n", call_id, attempt);
        fflush(stdout);
    }
    return 0;
}

int main(void) {
    const char *call_id = getenv("FN_CALL_ID"), *attempt = getenv("FN_ATTEMPT");
    if (call_id == NULL)
        return serve();
    if (attempt == NULL || fgets(line, sizeof line, stdin) == NULL)
        return 1;
    run(call_id, attempt, line);
    printf("%s %s", call_id, attempt);
    return 0;
}
