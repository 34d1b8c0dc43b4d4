#include <stdio.h>

const char *greeting(const char *name);

int main(int argc, char **argv) {
    printf("%s\n", greeting(argc > 1 ? argv[1] : "world"));
    return 0;
}
