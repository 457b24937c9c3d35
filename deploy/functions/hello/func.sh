#!/bin/sh
# The demo function: greets whoever the payload names. Standard output is the call's result, standard error its log.
name=$(cat)
echo "call $FN_CALL_ID greets ${name:-nobody in particular}" >&2
# Some work, and long enough for a few samples of what it uses.
step=0
while [ $step -lt 100000 ]; do step=$((step + 1)); done
sleep 1
echo "Hello, ${name:-world}!"
