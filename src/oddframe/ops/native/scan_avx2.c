#include "scan.c" /* compiled with the flags of its instruction set, see setup.py */
