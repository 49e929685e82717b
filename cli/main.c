/* The `lowp` program: finds the verb and runs it. */
#include <stdio.h>

#include <lowp/lowp.h>

int main(void)
{
    printf("lowp %s\n", lp_version());
    return 0;
}
